//! Normal forms: values are compared only after both were brought into the form of their common type.
//!
//! | type | normal form | why |
//! |---|---|---|
//! | text, multiline, phone | trimmed at the ends, line ends as `\n` | Salesforce trims; HubSpot's forms send `\r\n` |
//! | email | the same, in lower case | both match addresses without regard to case |
//! | number | shortest decimal, with as many decimals as the Salesforce field keeps | `5000.00`, `5000` and `5e3` are one number; Salesforce rounds what it stores (R-208) |
//! | flag | true or false; blank is false | Salesforce's checkboxes are never blank |
//! | date | `2026-03-12` | HubSpot sends epoch milliseconds in webhooks |
//! | instant | `2026-03-12T07:33:46.615Z` | the vendors write offsets differently |
//! | choices | sorted, without repetitions, joined by `;` | neither vendor keeps the order |
//! | choice, reference | as it is | |

use std::str::FromStr;

use jiff::tz::TimeZone;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::domain::{System, Timestamp, Value};
use crate::plan::{FieldSchema, FieldType};

/// A value that cannot be what its field says it is, or cannot be held by the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not read as the type of its field.
    #[error("the value is no {0}")]
    NotA(&'static str),
    /// The target takes fewer characters.
    #[error("the value has more than the {0} characters that the field takes")]
    TooLong(usize),
    /// The target's list does not hold it.
    #[error("the value is not among those that the field accepts; map it under `values` or add it there")]
    NotListed,
    /// The mapping's `values` do not translate it.
    #[error("the value has no translation under `values`")]
    NotTranslated,
    /// The target must not be blank.
    #[error("the field must not be blank")]
    Required,
    /// HubSpot's owner is no active user of Salesforce.
    #[error("no active Salesforce user has this owner's name and address")]
    NoUser,
    /// Salesforce's owner is no owner in HubSpot.
    #[error("no HubSpot owner has this user's name and address")]
    NoOwner,
    /// The company or account has no counterpart yet.
    #[error("waiting for the account to sync: it has no counterpart on the other side yet")]
    Waiting,
    /// The CRM took it and kept what it had.
    #[error(
        "the CRM accepted the value and did not store it: an automation or a rule of the field there keeps what it has"
    )]
    NotStored,
    /// The stage has no counterpart.
    #[error("the stage has no counterpart: name it under `deals.stages`")]
    NoStage,
}

/// Brings a value into the normal form of a type.
pub fn normal(value: &Value, field_type: FieldType) -> Result<Value, Unfit> {
    if field_type == FieldType::Flag {
        return flag(value).map(Value::Flag);
    }
    let Some(text) = value.as_text() else { return Ok(Value::Blank) };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Value::Blank);
    }
    Ok(match field_type {
        FieldType::Number => Value::number(decimal(trimmed).ok_or(Unfit::NotA("number"))?),
        FieldType::Date => Value::text(date(trimmed).ok_or(Unfit::NotA("date"))?),
        FieldType::Instant => Value::text(instant(trimmed).ok_or(Unfit::NotA("instant"))?.to_string()),
        FieldType::Choices => Value::text(choices(trimmed)),
        FieldType::Email => Value::text(trimmed.to_lowercase()),
        FieldType::Text
        | FieldType::Multiline
        | FieldType::Phone
        | FieldType::Choice
        | FieldType::Reference
        | FieldType::Other
        | FieldType::Flag => Value::text(trimmed.replace("\r\n", "\n").replace('\r', "\n")),
    })
}

/// A number as Salesforce stores it in a field that keeps so many decimals: rounded half away from zero. Both sides are compared like this, so
/// that no rounding looks like an edit.
pub fn rounded(value: Value, scale: Option<u32>) -> Value {
    let (Value::Number(number), Some(scale)) = (&value, scale) else { return value };
    let Ok(number) = Decimal::from_str(&number.number) else { return value };
    let rounded = number.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero);
    Value::number(rounded.normalize().to_string())
}

/// Turns a normal form into what the target's CRM takes, or says why it cannot hold it. With `listed` even a field that would take any
/// value gets only those it lists.
pub fn for_target(
    normal: &Value,
    target: &FieldSchema,
    (system, listed): (System, bool),
    time_zone: &TimeZone,
) -> Result<Value, Unfit> {
    if normal.is_blank() {
        return if target.required { Err(Unfit::Required) } else { Ok(Value::Blank) };
    }
    check_length(normal, target)?;
    check_options(normal, target, listed)?;
    let text = || normal.as_text().unwrap_or_default().into_owned();
    Ok(match (target.field_type, system) {
        (FieldType::Instant, _) if text().len() == DATE_LENGTH => {
            Value::text(start_of_day(&text(), time_zone))
        }
        (FieldType::Number | FieldType::Flag, System::Salesforce) => normal.clone(),
        _ => Value::text(text()),
    })
}

/// The calendar day of an instant in the portal's time zone; a plain date is a day already.
pub fn day_in(value: &Value, time_zone: &TimeZone) -> Result<Value, Unfit> {
    let Some(text) = value.as_text() else { return Ok(Value::Blank) };
    let trimmed = text.trim();
    if trimmed.is_empty() || (trimmed.len() == DATE_LENGTH && trimmed.contains('-')) {
        return normal(value, FieldType::Date);
    }
    let at = instant(trimmed).and_then(|at| jiff::Timestamp::from_millisecond(at.as_millis()).ok());
    let day = at.map(|at| at.to_zoned(time_zone.clone()).date().to_string());
    day.map(Value::text).ok_or(Unfit::NotA("date"))
}

/// The instant at which a calendar day begins in the portal's time zone.
fn start_of_day(day: &str, time_zone: &TimeZone) -> String {
    let starts = day.parse::<jiff::civil::Date>().ok().and_then(|day| day.to_zoned(time_zone.clone()).ok());
    let at = starts.map(|at| Timestamp::from_millis(at.timestamp().as_millisecond()));
    at.map_or_else(|| format!("{day}T00:00:00.000Z"), |at| at.to_string())
}

/// The type in which a property and a field are compared.
pub const fn common_type(property: FieldType, field: FieldType) -> FieldType {
    match (property, field) {
        (FieldType::Date, _) | (_, FieldType::Date) => FieldType::Date,
        (
            _,
            FieldType::Instant | FieldType::Number | FieldType::Flag | FieldType::Choices | FieldType::Email,
        ) => field,
        _ => property,
    }
}

const DATE_LENGTH: usize = "2026-03-12".len();

fn check_length(normal: &Value, target: &FieldSchema) -> Result<(), Unfit> {
    let Some(max) = target.length else { return Ok(()) };
    let measured = matches!(
        target.field_type,
        FieldType::Text | FieldType::Multiline | FieldType::Email | FieldType::Phone | FieldType::Choice
    );
    let length = normal.as_text().map_or(0, |text| text.chars().count());
    if measured && length > max { Err(Unfit::TooLong(max)) } else { Ok(()) }
}

fn check_options(normal: &Value, target: &FieldSchema, listed: bool) -> Result<(), Unfit> {
    let (Some(options), Some(text)) = (&target.options, normal.as_text()) else { return Ok(()) };
    if !target.restricted && !listed {
        return Ok(());
    }
    let listed = |wanted: &str| options.iter().any(|option| option == wanted);
    let fits = match target.field_type {
        FieldType::Choices => text.split(';').all(listed),
        FieldType::Choice => listed(&text),
        _ => true,
    };
    if fits { Ok(()) } else { Err(Unfit::NotListed) }
}

fn flag(value: &Value) -> Result<bool, Unfit> {
    match value {
        Value::Blank => Ok(false),
        Value::Flag(flag) => Ok(*flag),
        Value::Number(_) | Value::Text(_) => {
            match value.as_text().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Ok(true),
                "false" | "0" | "no" | "" => Ok(false),
                _ => Err(Unfit::NotA("true or false")),
            }
        }
    }
}

/// The most digits that a [`Decimal`] holds.
const DIGITS_MAX: usize = 28;

/// The shortest plain notation of a number; `None` where the text is no number, or too large a one for a [`Decimal`]. More digits than that holds
/// come of a computed value that was written out in full: the shortest number that is the same binary one is meant.
fn decimal(text: &str) -> Option<String> {
    // The library takes underscores between digits as well.
    let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if !text.bytes().all(is_plain) {
        return None;
    }
    let written_out = text.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX;
    let shortest = if written_out { text.parse::<f64>().ok()?.to_string() } else { text.to_owned() };
    let number = if shortest.contains(['e', 'E']) {
        Decimal::from_scientific(&shortest)
    } else {
        Decimal::from_str(&shortest)
    };
    Some(number.ok()?.normalize().to_string())
}

fn date(text: &str) -> Option<String> {
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && text.len() == DATE_LENGTH
    {
        return Some(day.to_string());
    }
    let at = instant(text)?;
    Some(at.to_string()[..DATE_LENGTH].to_owned())
}

/// Reads ISO 8601, a plain date (midnight UTC), or milliseconds since the epoch.
fn instant(text: &str) -> Option<Timestamp> {
    if let Some(at) = Timestamp::parse(text) {
        return Some(at);
    }
    if text.len() == DATE_LENGTH && text.contains('-') {
        return Timestamp::parse(&format!("{text}T00:00:00Z"));
    }
    let millis = text.parse::<i64>().ok()?;
    jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(Timestamp::from_millis(millis))
}

fn choices(text: &str) -> String {
    let mut chosen: Vec<&str> = text.split(';').map(str::trim).filter(|choice| !choice.is_empty()).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.join(";")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(field_type: FieldType, text: &str, expected: &str) {
        let found = normal(&Value::text(text), field_type)
            .map(|value| value.as_text().unwrap_or_default().into_owned());
        assert_eq!(found.as_deref(), Ok(expected), "{field_type:?} {text:?}");
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for same in ["5000", "5000.00", "5e3", "+5000", "05000", "0.5E4", " 5000 "] {
            check(FieldType::Number, same, "5000");
        }
        check(FieldType::Number, "0.40000000000000002220446049250313080847263336181640625", "0.4");
        check(FieldType::Number, "-0.050", "-0.05");
        check(FieldType::Number, "-0", "0");
        check(FieldType::Number, "0.000", "0");
        check(FieldType::Number, "9999999999999999", "9999999999999999");
        check(FieldType::Number, "123456789012345678.25", "123456789012345678.25");
        check(FieldType::Number, ".5", "0.5");
        check(FieldType::Number, "12.", "12");
    }

    #[test]
    fn what_is_no_number_is_said_to_be_none() {
        for text in ["x", "1.2.3", ".", "1e", "1e999", "--1", "1,5", "e5"] {
            assert_eq!(normal(&Value::text(text), FieldType::Number), Err(Unfit::NotA("number")), "{text}");
        }
    }

    #[test]
    fn days_and_instants_are_read_in_every_form_the_vendors_write() {
        check(FieldType::Date, "2026-03-12", "2026-03-12");
        check(FieldType::Date, "1773273600000", "2026-03-12");
        check(FieldType::Date, "2026-03-12T07:33:46.615Z", "2026-03-12");
        check(FieldType::Instant, "2026-03-12T07:33:46.615+0000", "2026-03-12T07:33:46.615Z");
        check(FieldType::Instant, "2026-03-12", "2026-03-12T00:00:00.000Z");
        check(FieldType::Instant, "1773273600000", "2026-03-12T00:00:00.000Z");
        assert!(normal(&Value::text("12/03/2026"), FieldType::Date).is_err());
    }

    #[test]
    fn texts_lose_what_the_crms_do_not_keep() {
        check(FieldType::Text, "  a b \r\n c ", "a b \n c");
        check(FieldType::Email, " Ada@Example.COM ", "ada@example.com");
        check(FieldType::Choices, "b; a;b;", "a;b");
        assert_eq!(normal(&Value::text("   "), FieldType::Text), Ok(Value::Blank));
    }

    #[test]
    fn a_blank_flag_is_false() {
        assert_eq!(normal(&Value::Blank, FieldType::Flag), Ok(Value::Flag(false)));
        assert_eq!(normal(&Value::text("true"), FieldType::Flag), Ok(Value::Flag(true)));
        assert!(normal(&Value::text("maybe"), FieldType::Flag).is_err());
    }

    fn schema(field_type: FieldType) -> FieldSchema {
        FieldSchema {
            field_type,
            createable: true,
            updateable: true,
            required: false,
            length: Some(5),
            scale: None,
            options: Some(vec!["a".to_owned(), "b".to_owned()]),
            restricted: true,
            calculated: false,
        }
    }

    fn sent(value: &Value, target: &FieldSchema, system: System) -> Result<Value, Unfit> {
        for_target(value, target, (system, false), &TimeZone::UTC)
    }

    #[test]
    fn r_295_what_the_target_cannot_hold_is_not_sent() {
        let text = FieldSchema { options: None, ..schema(FieldType::Text) };
        assert_eq!(sent(&Value::text("abcdef"), &text, System::Salesforce), Err(Unfit::TooLong(5)));
        assert_eq!(sent(&Value::text("äöüäö"), &text, System::Salesforce), Ok(Value::text("äöüäö")));
        let required = FieldSchema { required: true, ..text };
        assert_eq!(sent(&Value::Blank, &required, System::Salesforce), Err(Unfit::Required));
    }

    #[test]
    fn r_210_only_listed_choices_are_sent() {
        assert_eq!(
            sent(&Value::text("a"), &schema(FieldType::Choice), System::Salesforce),
            Ok(Value::text("a"))
        );
        assert_eq!(
            sent(&Value::text("c"), &schema(FieldType::Choice), System::Salesforce),
            Err(Unfit::NotListed)
        );
        assert_eq!(
            sent(&Value::text("a;b"), &schema(FieldType::Choices), System::Hubspot),
            Ok(Value::text("a;b"))
        );
        assert_eq!(
            sent(&Value::text("a;c"), &schema(FieldType::Choices), System::Hubspot),
            Err(Unfit::NotListed)
        );
    }

    #[test]
    fn r_210_from_a_list_to_a_list_only_what_both_hold() {
        let open = FieldSchema { restricted: false, ..schema(FieldType::Choice) };
        let sent =
            |listed| for_target(&Value::text("c"), &open, (System::Salesforce, listed), &TimeZone::UTC);
        assert_eq!(sent(true), Err(Unfit::NotListed));
        assert_eq!(sent(false), Ok(Value::text("c")));
    }

    #[test]
    fn a_day_is_told_in_the_portals_time_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let day = |text: &str| day_in(&Value::text(text), &berlin);
        assert_eq!(day("2026-06-30T22:30:00Z"), Ok(Value::text("2026-07-01")));
        assert_eq!(day("2026-06-30"), Ok(Value::text("2026-06-30")));
        let instant =
            FieldSchema { field_type: FieldType::Instant, length: None, ..schema(FieldType::Instant) };
        assert_eq!(
            for_target(&Value::text("2026-07-01"), &instant, (System::Hubspot, false), &berlin),
            Ok(Value::text("2026-06-30T22:00:00.000Z"))
        );
    }

    #[test]
    fn each_crm_gets_its_own_form() {
        let number = FieldSchema { length: None, options: None, ..schema(FieldType::Number) };
        assert_eq!(sent(&Value::number("5"), &number, System::Salesforce), Ok(Value::number("5")));
        assert_eq!(sent(&Value::number("5"), &number, System::Hubspot), Ok(Value::text("5")));
        let flag = FieldSchema { field_type: FieldType::Flag, ..number.clone() };
        assert_eq!(sent(&Value::Flag(true), &flag, System::Hubspot), Ok(Value::text("true")));
        let instant = FieldSchema { field_type: FieldType::Instant, ..number };
        assert_eq!(
            sent(&Value::text("2026-03-12"), &instant, System::Salesforce),
            Ok(Value::text("2026-03-12T00:00:00.000Z"))
        );
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(text in "\\PC{0,20}", place in 0usize..11) {
            use FieldType::{Choice, Choices, Date, Email, Flag, Instant, Multiline, Number, Phone, Reference, Text};
            let field_type = [Text, Multiline, Email, Phone, Number, Flag, Date, Instant, Choice, Choices, Reference][place];
            if let Ok(once) = normal(&Value::text(text), field_type) {
                prop_assert_eq!(normal(&once, field_type), Ok(once.clone()));
            }
        }

        #[test]
        fn equal_numbers_have_equal_forms(whole in 0u32..1_000_000, zeros in 0usize..5) {
            let padded = format!("{whole}.{}", "0".repeat(zeros));
            prop_assert_eq!(decimal(&padded), Some(whole.to_string()));
        }
    }
}
