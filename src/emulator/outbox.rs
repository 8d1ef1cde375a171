//! Messages waiting to be sent, and when they are tried again. No I/O.

use std::collections::HashMap;

use serde::Deserialize;

use crate::domain::Timestamp;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Names it until it is settled.
    pub id: u64,
    /// Where it goes.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// How a message was answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With a status and a body.
    Status(u16, Vec<u8>),
    /// Not at all.
    Unreachable,
}

/// One thing to tell, with its tries.
#[derive(Clone, Debug)]
pub(super) struct Item<T> {
    pub(super) what: T,
    pub(super) attempt: u32,
    pub(super) since: Timestamp,
    due_at: Timestamp,
}

/// When a vendor tries again, and when it gives up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ladder {
    pub(super) first_ms: i64,
    pub(super) longest_ms: i64,
    pub(super) attempts_max: u32,
    pub(super) age_max_ms: i64,
}

/// Things to tell: waiting, or on their way.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    ladder: Ladder,
    waiting: Vec<Item<T>>,
    under_way: HashMap<u64, Vec<Item<T>>>,
    last_id: u64,
    pub(super) knobs: Knobs,
}

/// What a test does to deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Knobs {
    /// Nothing leaves.
    pub(super) paused: bool,
    /// So many things are lost instead of told.
    pub(super) drop: u32,
    /// Everything is told this many times more.
    pub(super) repeat: u32,
    /// The last comes first.
    pub(super) reversed: bool,
}

/// The body of `POST /_control/webhooks`; what it leaves out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookControl<Target> {
    #[serde(default = "nothing")]
    pub(super) targets: Option<Vec<Target>>,
    #[serde(default)]
    paused: Option<bool>,
    #[serde(default)]
    drop: Option<u32>,
    #[serde(default)]
    repeat: Option<u32>,
    #[serde(default)]
    shuffle: Option<bool>,
}

const fn nothing<T>() -> Option<T> {
    None
}

impl Knobs {
    /// Turns the knobs that a control names.
    pub(super) fn turn<Target>(&mut self, control: &WebhookControl<Target>) {
        self.paused = control.paused.unwrap_or(self.paused);
        self.drop = control.drop.unwrap_or(self.drop);
        self.repeat = control.repeat.unwrap_or(self.repeat);
        self.reversed = control.shuffle.unwrap_or(self.reversed);
    }
}

impl<T: Clone> Outbox<T> {
    pub(super) fn new(ladder: Ladder) -> Self {
        Self { ladder, waiting: Vec::new(), under_way: HashMap::new(), last_id: 0, knobs: Knobs::default() }
    }

    pub(super) fn add(&mut self, what: T, now: Timestamp) {
        if self.knobs.drop > 0 {
            self.knobs.drop -= 1;
            return;
        }
        for _ in 0..=self.knobs.repeat {
            self.waiting.push(Item { what: what.clone(), attempt: 0, since: now, due_at: now });
        }
    }

    /// Takes what is due, in groups of at most `max`; `fits` says whether a thing may stand in a group with its first.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        max: usize,
        fits: impl Fn(&T, &T) -> bool,
    ) -> Vec<(u64, Vec<Item<T>>)> {
        if self.knobs.paused {
            return Vec::new();
        }
        let (mut due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|item| item.due_at <= now);
        self.waiting = waiting;
        if self.knobs.reversed {
            due.reverse();
        }
        let mut groups: Vec<(u64, Vec<Item<T>>)> = Vec::new();
        for item in due {
            let fitting = groups
                .iter_mut()
                .rev()
                .find(|(_, group)| group.len() < max && fits(&group[0].what, &item.what));
            if let Some((_, group)) = fitting {
                group.push(item);
            } else {
                self.last_id += 1;
                groups.push((self.last_id, vec![item]));
            }
        }
        self.under_way.extend(groups.iter().cloned());
        groups
    }

    /// Ends a delivery: told, or to be tried again.
    pub(super) fn settle(&mut self, id: u64, told: bool, now: Timestamp) {
        let Some(items) = self.under_way.remove(&id) else { return };
        if told {
            return;
        }
        for mut item in items {
            let doubled = self.ladder.first_ms.saturating_mul(1 << item.attempt.min(20));
            item.attempt += 1;
            item.due_at = now.plus_millis(doubled.min(self.ladder.longest_ms));
            let too_old = item.due_at.millis_since(item.since) > self.ladder.age_max_ms;
            if item.attempt <= self.ladder.attempts_max && !too_old {
                self.waiting.push(item);
            }
        }
    }

    /// Lets everything that waits for another try be due at once.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        self.waiting.iter_mut().for_each(|item| item.due_at = now);
    }

    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.under_way.values().map(Vec::len).sum::<usize>()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.under_way.clear();
    }
}
