//! SOQL: enough of the language for queries over one object, and nothing accepted beyond it.
//!
//! `SELECT fields | COUNT() FROM Object [WHERE ...] [ORDER BY fields] [LIMIT n] [OFFSET n]` with `AND`, `OR`, `NOT`, parentheses, `=`,
//! `!=`, `<`, `<=`, `>`, `>=`, `LIKE`, `IN`, `NOT IN`; texts, numbers, instants, dates, `TRUE`, `FALSE` and `null`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::emulator::salesforce::records::{Record, Table};

/// A query that was understood.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) fields: Vec<String>,
    pub(super) count: bool,
    pub(super) object: String,
    condition: Option<Condition>,
    order: Vec<(String, bool)>,
    limit: Option<usize>,
    offset: usize,
}

#[derive(Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(String, Operator, Json),
    OneOf(String, Vec<Json>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(String),
}

/// Takes a query apart; the error is what Salesforce would call malformed.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    let mut parser = Parser { tokens: tokens(text)?, place: 0 };
    parser.query()
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(&character) = characters.peek() {
        if character.is_whitespace() {
            characters.next();
        } else if character == '\'' {
            characters.next();
            tokens.push(Token::Text(quoted(&mut characters)?));
        } else if character.is_alphanumeric() || matches!(character, '_' | '-' | '+') {
            let mut word = String::new();
            while let Some(part) = characters
                .next_if(|part| part.is_alphanumeric() || matches!(part, '_' | '.' | ':' | '-' | '+'))
            {
                word.push(part);
            }
            tokens.push(Token::Word(word));
        } else {
            characters.next();
            let mut symbol = character.to_string();
            if matches!(character, '<' | '>' | '!') && characters.next_if_eq(&'=').is_some() {
                symbol.push('=');
            }
            tokens.push(Token::Symbol(symbol));
        }
    }
    Ok(tokens)
}

fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match characters.next().ok_or("line 1: unterminated string")? {
            '\'' => return Ok(text),
            '\\' => text.push(match characters.next().ok_or("line 1: unterminated string")? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same @ ('\\' | '\'' | '"' | '%' | '_') => same,
                other => return Err(format!("Illegal string literal: invalid escape \\{other}")),
            }),
            other => text.push(other),
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    place: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.place).cloned();
        self.place += 1;
        token
    }

    fn keyword(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.place += usize::from(found);
        found
    }

    fn symbol(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Symbol(symbol)) if symbol == wanted);
        self.place += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.keyword(wanted) || self.symbol(wanted) { Ok(()) } else { Err(format!("expecting {wanted}")) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(format!("unexpected token: {other:?}")),
        }
    }

    fn query(&mut self) -> Result<Query, String> {
        self.expect("SELECT")?;
        let mut fields = vec![self.word()?];
        let count = fields[0].eq_ignore_ascii_case("COUNT") && self.symbol("(");
        if count {
            self.expect(")")?;
            fields.clear();
        }
        while self.symbol(",") {
            fields.push(self.word()?);
        }
        self.expect("FROM")?;
        let object = self.word()?;
        let condition = if self.keyword("WHERE") { Some(self.any()?) } else { None };
        let order = if self.keyword("ORDER") { self.order()? } else { Vec::new() };
        let limit = if self.keyword("LIMIT") { Some(self.number()?) } else { None };
        let offset = if self.keyword("OFFSET") { self.number()? } else { 0 };
        match self.next() {
            None => Ok(Query { fields, count, object, condition, order, limit, offset }),
            Some(token) => Err(format!("unexpected token: {token:?}")),
        }
    }

    fn order(&mut self) -> Result<Vec<(String, bool)>, String> {
        self.expect("BY")?;
        let mut order = Vec::new();
        loop {
            let field = self.word()?;
            let descending = self.keyword("DESC");
            if !descending {
                self.keyword("ASC");
            }
            order.push((field, descending));
            if !self.symbol(",") {
                return Ok(order);
            }
        }
    }

    fn number(&mut self) -> Result<usize, String> {
        self.word()?.parse().map_err(|_| "expecting a number".to_owned())
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.keyword("OR") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.keyword("AND") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.keyword("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.symbol("(") {
            let inner = self.any()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let field = self.word()?;
        if self.keyword("IN") {
            return Ok(Condition::OneOf(field, self.list()?));
        }
        if self.keyword("NOT") {
            self.expect("IN")?;
            return Ok(Condition::Not(Box::new(Condition::OneOf(field, self.list()?))));
        }
        let operator = self.operator()?;
        Ok(Condition::Compare(field, operator, self.literal()?))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        if self.keyword("LIKE") {
            return Ok(Operator::Like);
        }
        match self.next() {
            Some(Token::Symbol(symbol)) => match symbol.as_str() {
                "=" => Ok(Operator::Equal),
                "!=" => Ok(Operator::NotEqual),
                "<" => Ok(Operator::Less),
                "<=" => Ok(Operator::LessOrEqual),
                ">" => Ok(Operator::Greater),
                ">=" => Ok(Operator::GreaterOrEqual),
                other => Err(format!("unexpected token: {other}")),
            },
            other => Err(format!("unexpected token: {other:?}")),
        }
    }

    fn list(&mut self) -> Result<Vec<Json>, String> {
        self.expect("(")?;
        let mut values = vec![self.literal()?];
        while self.symbol(",") {
            values.push(self.literal()?);
        }
        self.expect(")")?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<Json, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Json::String(text)),
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "true" => Ok(Json::Bool(true)),
                "false" => Ok(Json::Bool(false)),
                "null" => Ok(Json::Null),
                lower => match lower.parse::<f64>() {
                    Ok(_) => serde_json::from_str(lower).map_err(|_| format!("unexpected token: {word}")),
                    Err(_) if word.starts_with(|first: char| first.is_ascii_digit()) => {
                        Ok(Json::String(word))
                    }
                    Err(_) => Err(format!("unexpected token: {word}")),
                },
            },
            other => Err(format!("unexpected token: {other:?}")),
        }
    }
}

impl Query {
    /// Every field the query names, for the check that they exist.
    pub(super) fn named_fields(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        names.extend(self.order.iter().map(|(field, _)| field.as_str()));
        if let Some(condition) = &self.condition {
            condition.name_fields(&mut names);
        }
        names
    }

    /// The rows that fit, in order.
    pub(super) fn run<'a>(&self, table: &'a Table, with_deleted: bool) -> Vec<&'a Record> {
        let indexed = self.condition.as_ref().and_then(|condition| condition.indexed(table));
        let candidates: Vec<&Record> = indexed.unwrap_or_else(|| table.rows().collect());
        let fits = |record: &&Record| {
            (with_deleted || !record.deleted)
                && self.condition.as_ref().is_none_or(|condition| condition.fits(record))
        };
        let mut rows: BTreeMap<String, &Record> = BTreeMap::new();
        for record in candidates.into_iter().filter(fits) {
            rows.insert(record.fields["Id"].as_str().unwrap_or_default().to_owned(), record);
        }
        let mut rows: Vec<&Record> = rows.into_values().collect();
        rows.sort_by(|one, other| self.compare(one, other));
        rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect()
    }

    fn compare(&self, one: &Record, other: &Record) -> Ordering {
        for (field, descending) in &self.order {
            let order = order_of(one.fields.get(field), other.fields.get(field));
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// Nulls first, numbers by size, texts by their characters; instants are texts of one form.
fn order_of(one: Option<&Json>, other: Option<&Json>) -> Ordering {
    match (one, other) {
        (Some(Json::Number(one)), Some(Json::Number(other))) => {
            one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Json::String(one)), Some(Json::String(other))) => match (instant(one), instant(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.cmp(other),
        },
        (Some(Json::Null) | None, Some(Json::Null) | None) => Ordering::Equal,
        (Some(Json::Null) | None, _) => Ordering::Less,
        (_, Some(Json::Null) | None) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

fn instant(text: &str) -> Option<crate::domain::Timestamp> {
    crate::domain::Timestamp::parse(text)
}

impl Condition {
    fn name_fields<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.name_fields(names)),
            Self::Not(part) => part.name_fields(names),
            Self::Compare(field, ..) | Self::OneOf(field, _) => names.push(field),
        }
    }

    /// The rows worth looking at, where an index tells; every row that fits is among them.
    fn indexed<'a>(&self, table: &'a Table) -> Option<Vec<&'a Record>> {
        match self {
            Self::All(parts) => parts.iter().find_map(|part| part.indexed(table)),
            Self::Any(parts) => {
                let parts: Option<Vec<Vec<&Record>>> = parts.iter().map(|part| part.indexed(table)).collect();
                Some(parts?.into_iter().flatten().collect())
            }
            Self::Compare(field, Operator::Equal, Json::String(text)) => table.indexed(field, text),
            Self::Compare(..) | Self::Not(_) => None,
            Self::OneOf(field, values) => {
                let rows: Option<Vec<Vec<&Record>>> =
                    values.iter().map(|value| table.indexed(field, value.as_str()?)).collect();
                Some(rows?.into_iter().flatten().collect())
            }
        }
    }

    fn fits(&self, record: &Record) -> bool {
        let held = |field: &String| record.fields.get(field).unwrap_or(&Json::Null);
        match self {
            Self::All(parts) => parts.iter().all(|part| part.fits(record)),
            Self::Any(parts) => parts.iter().any(|part| part.fits(record)),
            Self::Not(part) => !part.fits(record),
            Self::OneOf(field, values) => values.iter().any(|value| equal(held(field), value)),
            Self::Compare(field, operator, value) => {
                let held = held(field);
                let order = || order_of(Some(held), Some(value));
                match operator {
                    Operator::Equal => equal(held, value),
                    Operator::NotEqual => !equal(held, value),
                    Operator::Less => !held.is_null() && order() == Ordering::Less,
                    Operator::LessOrEqual => !held.is_null() && order() != Ordering::Greater,
                    Operator::Greater => !held.is_null() && order() == Ordering::Greater,
                    Operator::GreaterOrEqual => !held.is_null() && order() != Ordering::Less,
                    Operator::Like => {
                        like(held.as_str().unwrap_or_default(), value.as_str().unwrap_or_default())
                    }
                }
            }
        }
    }
}

/// Texts are compared without regard to case, ids by their first 15 characters with it, instants whatever their form.
fn equal(held: &Json, value: &Json) -> bool {
    let is_instant = |text: &str| text.as_bytes().get(10) == Some(&b'T');
    match (held, value) {
        (Json::String(held), Json::String(value)) if is_instant(held) && is_instant(value) => {
            instant(held) == instant(value)
        }
        (Json::String(held), Json::String(value)) => {
            held.eq_ignore_ascii_case(value)
                || held.to_lowercase() == value.to_lowercase()
                || (value.len() == 15 && held.len() == 18 && held.starts_with(value.as_str()))
        }
        (Json::Number(held), Json::Number(value)) => held.as_f64() == value.as_f64(),
        _ => held == value,
    }
}

/// `%` stands for any run of characters, `_` for one.
fn like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| matches(&text[skip..], rest)),
            Some((one, rest)) => text
                .split_first()
                .is_some_and(|(first, others)| (*one == '_' || one == first) && matches(others, rest)),
        }
    }
    let folded = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    matches(&folded(text), &folded(pattern))
}
