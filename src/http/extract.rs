//! What a request brings, read so that a bad one is answered by a [`Problem`].

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequestParts, Path as AnyPath};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::{BODY_BYTES_MAX, Problem};

/// The variable parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let AnyPath(parts) = AnyPath::from_request_parts(parts, state).await?;
        Ok(Self(parts))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        match rejection.status() {
            StatusCode::INTERNAL_SERVER_ERROR => Self::Internal,
            _ => Self::BadRequest(rejection.body_text()),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(format!(
                "a body holds at most {} MiB: send it in several requests",
                BODY_BYTES_MAX / (1024 * 1024)
            )),
            _ => Self::BadRequest("the body could not be read to its end".to_owned()),
        }
    }
}
