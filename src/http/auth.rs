//! Who may ask what: bearer tokens with roles.

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::domain::Secret;
use crate::http::{AppState, Problem};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asking.
    Viewer,
    /// Asking and acting.
    Operator,
}

/// A token as configured.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// Whose it is, for the log.
    pub name: String,
    /// The token.
    pub token: Secret,
    /// What it allows.
    pub role: Role,
}

/// A token as kept: its hash, so that comparing takes the same time whatever is sent.
pub(super) struct KnownToken {
    hash: [u8; 32],
    role: Role,
}

impl From<&AdminToken> for KnownToken {
    fn from(token: &AdminToken) -> Self {
        Self { hash: hash(token.token.expose()), role: token.role }
    }
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The place of the secret that was sent, comparing with every one of them in constant time.
pub(super) fn place_of<'a>(sent: &str, known: impl Iterator<Item = &'a [u8; 32]>) -> Option<usize> {
    let sent = hash(sent);
    let mut found = u64::MAX;
    for (place, hash) in (0u64..).zip(known) {
        let same: Choice = hash.ct_eq(&sent);
        found = u64::conditional_select(&found, &place, same);
    }
    usize::try_from(found).ok().filter(|_| found != u64::MAX)
}

/// Lets a request pass whose token allows its method.
pub(super) async fn require_token(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|text| text.strip_prefix("Bearer ")).ok_or(Problem::Unauthorized)?;
    let place =
        place_of(sent, state.tokens().iter().map(|token| &token.hash)).ok_or(Problem::Unauthorized)?;
    let acts = !matches!(*request.method(), Method::GET | Method::HEAD);
    if acts && state.tokens()[place].role != Role::Operator {
        return Err(Problem::Forbidden);
    }
    Ok(next.run(request).await)
}
