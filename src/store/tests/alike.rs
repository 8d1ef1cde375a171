//! The same story on both databases, step by step at random: both come to the same.

use super::*;

/// Stories, each on two new databases.
const STORIES: u64 = 5;

/// Steps in a story.
const STEPS: usize = 50;

/// Records of either kind: few, so that everything meets everything.
const RECORDS: u32 = 4;

/// One story on one database. Both copies draw the same chances, as long as they are told the same.
struct Copy {
    memory: Memory,
    chance: fastrand::Rng,
    worker: Uuid,
    in_hand: Vec<Claimed>,
    resyncs: Vec<Resync>,
    now: i64,
    n: u128,
}

#[tokio::test]
async fn both_databases_come_to_the_same() {
    for seed in 0..STORIES {
        let (Some(one), Some(other)) = (Copy::new(Sqlite, seed).await, Copy::new(Postgres, seed).await)
        else {
            return;
        };
        let mut copies = [one, other];
        for step in 0..STEPS {
            let mut told = Vec::new();
            for copy in &mut copies {
                let mut answers = copy.step().await;
                answers.extend(copy.all_there_is().await);
                told.push(answers);
            }
            let differing = told[0].iter().zip(&told[1]).find(|(one, other)| one != other);
            assert_eq!((differing, told[0].len()), (None, told[1].len()), "story {seed}, step {step}");
        }
    }
}

impl Copy {
    async fn new(on: Database, seed: u64) -> Option<Self> {
        Some(Self {
            memory: Memory::new(on).await?,
            chance: fastrand::Rng::with_seed(seed),
            worker: Uuid::from_u128(1),
            in_hand: Vec::new(),
            resyncs: Vec::new(),
            now: 100,
            n: 1,
        })
    }

    /// An id that the other copy makes as well.
    fn id(&mut self) -> Uuid {
        self.n += 1;
        Uuid::from_u128(self.n)
    }

    fn record(&mut self) -> RecordKey {
        let n = self.chance.u32(1..=RECORDS);
        if self.chance.bool() { contact(n.into()) } else { lead(n) }
    }

    fn mark(&mut self) -> Mark {
        let told = Fields::from([("City".to_owned(), Value::text(format!("city {}", self.chance.u8(0..3))))]);
        Mark {
            key: self.record(),
            occurred_at: at(self.now + self.chance.i64(-50..50)),
            notification: self.chance.bool().then(|| format!("04l{}", self.chance.u8(0..20))),
            told: (self.chance.u8(0..4) > 0).then_some(told),
            changed: self.changed(),
        }
    }

    fn changed(&mut self) -> Changed {
        let at = at(self.now + self.chance.i64(-50..50));
        match self.chance.u8(0..8) {
            0 => Changed::Anything,
            1 => Changed::association(at),
            n => Changed::property(["city", "zip"][usize::from(n % 2)], at),
        }
    }

    fn marks(&mut self) -> Vec<Mark> {
        (0..self.chance.usize(1..6)).map(|_| self.mark()).collect()
    }

    fn delivery(&mut self) -> NewDelivery {
        NewDelivery {
            id: self.id(),
            received_at: at(self.now + self.chance.i64(-5..5)),
            marks: self.marks(),
            unreadable: (0..self.chance.u32(0..3))
                .map(|position| Unreadable { position, reason: "no id".to_owned() })
                .collect(),
            ..self.memory.delivery(&[])
        }
    }

    /// Does something; returns what was answered.
    async fn step(&mut self) -> Vec<String> {
        self.now += self.chance.i64(0..100);
        let store = Arc::clone(&self.memory.store);
        let name = self.memory.name.clone();
        match self.chance.u32(0..10) {
            0..=2 => {
                let group: Vec<NewDelivery> = (0..self.chance.usize(1..5)).map(|_| self.delivery()).collect();
                store.accept(group.into()).await.unwrap();
                Vec::new()
            }
            3 => {
                let id = self.id();
                let cause = if self.chance.bool() { Cause::Follow(id) } else { Cause::Sweep(id) };
                store.mark(&name, &self.marks(), cause, at(self.now)).await.unwrap();
                Vec::new()
            }
            4 => {
                let total = self.chance.u64(1..3);
                let resync = Resync { id: self.id(), ..edges::resync_of(&self.memory, total) };
                store.create_resync(&resync).await.unwrap();
                store.advance_resync(&resync, None, &self.marks(), at(self.now)).await.unwrap();
                self.resyncs.push(resync);
                Vec::new()
            }
            5 | 6 => self.claim().await,
            7 | 8 => self.finish().await,
            _ => self.mend().await,
        }
    }

    async fn claim(&mut self) -> Vec<String> {
        let mut claimed = self.memory.claim_as(self.worker, self.now).await;
        for claimed in &mut claimed {
            claimed.jobs.sort_by_key(|job| job.key);
            claimed.open_intents.sort_by_key(|intent| intent.id);
        }
        // Jobs due at the same time are in the order of their ids, which is the order of their marks here and of their keys there.
        claimed.sort_by_key(|claimed| claimed.jobs[0].key);
        let said = claimed
            .iter()
            .map(|claimed| {
                let jobs: Vec<ClaimedJob> =
                    claimed.jobs.iter().map(|job| ClaimedJob { id: JobId(0), ..job.clone() }).collect();
                format!("{:?} {jobs:?} {:?}", &claimed.pair, claimed.open_intents)
            })
            .collect();
        // What is claimed again was given up: no worker finishes a job twice at once.
        let again =
            |job: &ClaimedJob| claimed.iter().flat_map(|claimed| &claimed.jobs).any(|one| one.id == job.id);
        self.in_hand.retain(|held| !held.jobs.iter().any(again));
        self.in_hand.extend(claimed);
        said
    }

    async fn finish(&mut self) -> Vec<String> {
        let mut outcomes = Vec::new();
        for claimed in std::mem::take(&mut self.in_hand) {
            let intent = Intent { id: self.id(), ..intent(claimed.jobs[0].key, &claimed) };
            self.memory.store.intend(&self.memory.name, std::slice::from_ref(&intent)).await.unwrap();
            let (category, message) = (Category::Validation, format!("message {}", self.n));
            let outcome = match self.chance.u32(0..8) {
                0 => Outcome::Park { category, message },
                1 => Outcome::Retry { at: at(self.now + 70), counts: self.chance.bool(), category, message },
                2 => Outcome::Release,
                3 => Outcome::Postpone { at: at(self.now + 30) },
                _ => Outcome::Done,
            };
            let mut finished = finished(&claimed, outcome);
            finished.states = (0..3).map(|_| (self.record(), State::Linked)).collect();
            if self.chance.u32(0..3) == 0 {
                let (hubspot, salesforce) = (self.chance.u64(1..=4), self.chance.u32(1..=RECORDS));
                finished.pair = Some(match claimed.jobs[0].key {
                    key if key.system() == System::Hubspot => pair(key, lead(salesforce)),
                    key => pair(contact(hubspot), key),
                });
            }
            finished.released = if self.chance.bool() { any_record() } else { vec![self.record()] };
            finished.looks = (0..self.chance.usize(0..3)).map(|_| self.record()).collect();
            finished.conflicts = (0..self.chance.usize(0..3))
                .map(|_| Conflict {
                    key: self.record(),
                    property: ["city", "Zip", "äh"][self.chance.usize(0..3)].to_owned(),
                    text: format!("text {}", self.chance.u8(..)),
                    at: at(self.now + self.chance.i64(0..9)),
                })
                .collect();
            finished.conflicts_settled = (0..self.chance.usize(0..3)).map(|_| self.record()).collect();
            finished.settled = match self.chance.u32(0..3) {
                0 => Vec::new(),
                1 => vec![(intent.id, Settled::NotWritten)],
                _ => vec![(intent.id, Settled::written(Some(self.record())))],
            };
            outcomes.push(finished);
        }
        self.memory.store.finish(&self.memory.name, self.worker, &outcomes, at(self.now)).await.unwrap();
        Vec::new()
    }

    /// A person mends a job, or a worker ends and another begins.
    async fn mend(&mut self) -> Vec<String> {
        if self.chance.u32(0..3) == 0 {
            self.memory.store.release_all(self.worker).await.unwrap();
            self.worker = self.id();
            return Vec::new();
        }
        let mut jobs = self.jobs().await;
        jobs.sort_by_key(|job| (job.key, job.part));
        if jobs.is_empty() {
            return Vec::new();
        }
        let id = jobs[self.chance.usize(..jobs.len())].id;
        let done = if self.chance.bool() {
            self.memory.store.retry_job(id, at(self.now)).await
        } else {
            self.memory.store.discard_job(id, at(self.now)).await
        };
        vec![done.unwrap().to_string()]
    }

    async fn jobs(&self) -> Vec<Job> {
        let query = JobQuery {
            connection: &self.memory.name,
            state: None,
            after: None,
            limit: 500,
            now: at(self.now),
        };
        self.memory.store.jobs(&query).await.unwrap()
    }

    /// Everything that can be asked.
    async fn all_there_is(&self) -> Vec<String> {
        let (store, name) = (&self.memory.store, &self.memory.name);
        let mut jobs: Vec<Job> =
            self.jobs().await.into_iter().map(|job| Job { id: JobId(0), ..job }).collect();
        jobs.sort_by_key(|job| (job.key, job.part));
        let mut all: Vec<String> = jobs.iter().map(|job| format!("{job:?}")).collect();
        for key in (1..=RECORDS).flat_map(|n| [contact(n.into()), lead(n)]) {
            all.push(format!("{:?}", store.record(name, &key).await.unwrap()));
            all.push(format!("{:?}", store.conflicts_of(name, &key).await.unwrap()));
        }
        for resync in &self.resyncs {
            all.push(format!("{:?}", store.resync(resync.id).await.unwrap()));
        }
        let query =
            AuditQuery { connection: name, system: None, key: None, since: None, after: None, limit: 500 };
        all.push(format!("{:?}", store.audit(&query).await.unwrap()));
        all.push(format!("{:?}", store.queue_figures(name, at(self.now)).await.unwrap()));
        // What was due when an earlier lease ended is due.
        all.push(format!("{:?}", store.next_due(name).await.unwrap().map(|due| due.max(at(self.now)))));
        all
    }
}
