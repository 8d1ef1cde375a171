//! Errors as `application/problem+json` (RFC 9457): a closed list, stable types, nothing from the inside.

use std::any::Any;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store;
use crate::worker;

/// Everything the API can answer instead of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The request cannot be understood: what is wrong with it.
    BadRequest(String),
    /// The body is too large: what is not.
    TooLarge(String),
    /// There is no token, or none that we know.
    Unauthorized,
    /// The token's role does not allow this.
    Forbidden,
    /// There is no such thing.
    NotFound(&'static str),
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// It cannot be done in the present state: why.
    Conflict(&'static str),
    /// A CRM could not be asked: which, and what to do.
    CrmFailed(String),
    /// The database cannot be asked at the moment.
    Unavailable,
    /// A bug of ours.
    Internal,
}

impl Problem {
    /// Type, status and title.
    const fn parts(&self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => {
                ("/problems/bad-request", StatusCode::BAD_REQUEST, "The request cannot be understood")
            }
            Self::TooLarge(_) => {
                ("/problems/too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::Unauthorized => {
                ("/problems/unauthorized", StatusCode::UNAUTHORIZED, "A valid token is needed")
            }
            Self::Forbidden => {
                ("/problems/forbidden", StatusCode::FORBIDDEN, "The token's role does not allow this")
            }
            Self::NotFound(_) => ("/problems/not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => (
                "/problems/method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not take this method",
            ),
            Self::Conflict(_) => {
                ("/problems/conflict", StatusCode::CONFLICT, "It cannot be done in the present state")
            }
            Self::CrmFailed(_) => {
                ("/problems/crm-failed", StatusCode::BAD_GATEWAY, "A CRM could not be asked")
            }
            Self::Unavailable => {
                ("/problems/unavailable", StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment")
            }
            Self::Internal => {
                ("/problems/internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong inside")
            }
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::BadRequest(detail) | Self::TooLarge(detail) | Self::CrmFailed(detail) => detail,
            Self::NotFound(detail) | Self::Conflict(detail) => detail,
            Self::Unauthorized => "send `Authorization: Bearer TOKEN` with a token from [admin] tokens",
            Self::Forbidden => "use a token whose role is operator",
            Self::MethodNotAllowed => "see /openapi.yaml",
            Self::Unavailable => "the database cannot be asked; /readyz says more",
            Self::Internal => "the log says more",
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (r#type, status, title) = self.parts();
        let body = Body { r#type, title, status: status.as_u16(), detail: self.detail() };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        tracing::error!(error = %crate::domain::Chain(&error), "The store could not be asked");
        match error {
            store::Error::Unavailable(_) => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<worker::Error> for Problem {
    fn from(error: worker::Error) -> Self {
        match error {
            worker::Error::Store(error) => error.into(),
            worker::Error::UnknownConnection => Self::NotFound("there is no connection of that name"),
            worker::Error::UnknownList => {
                Self::NotFound("HubSpot has no list of contacts with this id, or hides it from our token")
            }
            worker::Error::Settings(text) => Self::CrmFailed(text),
            worker::Error::Crm { system, source } => {
                tracing::warn!(error = %crate::domain::Chain(&source), "{system} could not be asked");
                Self::CrmFailed(format!("{system} could not be asked; try again, or run `hubforce check`"))
            }
        }
    }
}

pub(super) async fn no_such_path() -> Problem {
    Problem::NotFound("there is nothing at this path; see /openapi.yaml")
}

pub(super) async fn no_such_method() -> Problem {
    Problem::MethodNotAllowed
}

pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::Internal.into_response()
}
