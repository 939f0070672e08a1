//! A condition operator's name, taken apart: `ForAllValues:StringNotLikeIfExists`.

use super::super::error::Error;
use super::key::{Key, Shape};

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) set: Set,
    pub(super) what: What,
    pub(super) negated: bool,
    pub(super) if_exists: bool,
}

/// Over which of a key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// There is one.
    One,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Text,
    TextAnyCase,
    TextLike,
    Arn,
    Number(Order),
    Date(Order),
    Flag,
    Address,
    Null,
}

/// How numbers and dates are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Name, meaning, and whether it is a negation.
const OPERATORS: [(&str, What, bool); 26] = [
    ("StringEquals", What::Text, false),
    ("StringNotEquals", What::Text, true),
    ("StringEqualsIgnoreCase", What::TextAnyCase, false),
    ("StringNotEqualsIgnoreCase", What::TextAnyCase, true),
    ("StringLike", What::TextLike, false),
    ("StringNotLike", What::TextLike, true),
    ("ArnEquals", What::Arn, false),
    ("ArnNotEquals", What::Arn, true),
    ("ArnLike", What::Arn, false),
    ("ArnNotLike", What::Arn, true),
    ("NumericEquals", What::Number(Order::Equal), false),
    ("NumericNotEquals", What::Number(Order::Equal), true),
    ("NumericLessThan", What::Number(Order::Less), false),
    ("NumericLessThanEquals", What::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", What::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", What::Number(Order::GreaterOrEqual), false),
    ("DateEquals", What::Date(Order::Equal), false),
    ("DateNotEquals", What::Date(Order::Equal), true),
    ("DateLessThan", What::Date(Order::Less), false),
    ("DateLessThanEquals", What::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", What::Date(Order::Greater), false),
    ("DateGreaterThanEquals", What::Date(Order::GreaterOrEqual), false),
    ("Bool", What::Flag, false),
    ("IpAddress", What::Address, false),
    ("NotIpAddress", What::Address, true),
    ("Null", What::Null, false),
];

impl Operator {
    pub(super) fn parse(at: &str, name: &str) -> Result<Self, Error> {
        let (set, plain) = match name.split_once(':') {
            None => (Set::One, name),
            Some(("ForAllValues", plain)) => (Set::All, plain),
            Some(("ForAnyValue", plain)) => (Set::Any, plain),
            Some(_) => return Err(Error::new(at, "start with ForAllValues: or ForAnyValue:, or have no colon")),
        };
        let (plain, if_exists) = match plain.strip_suffix("IfExists") {
            Some(plain) => (plain, true),
            None => (plain, false),
        };
        let known = OPERATORS.iter().find(|(known, ..)| *known == plain);
        let Some((_, what, negated)) = known else {
            let names: Vec<&str> = OPERATORS.iter().map(|(known, ..)| *known).collect();
            return Err(Error::new(at, format!("be a condition operator of this server: {}", names.join(", "))));
        };
        if *what == What::Null && (if_exists || set != Set::One) {
            return Err(Error::new(at, "be Null alone: it asks whether the key exists"));
        }
        Ok(Self { set, what: *what, negated: *negated, if_exists })
    }

    /// Refuses what could not hold, or would hold by accident.
    pub(super) fn check_key(self, at: &str, key: &Key) -> Result<(), Error> {
        let shape = key.shape();
        let fits = match self.what {
            What::Text | What::TextAnyCase | What::TextLike => matches!(shape, Shape::Text | Shape::Texts | Shape::Arn),
            What::Arn => shape == Shape::Arn,
            What::Number(_) => shape == Shape::EpochTime,
            What::Date(_) => matches!(shape, Shape::Time | Shape::EpochTime),
            What::Flag => shape == Shape::Flag,
            What::Address => shape == Shape::Address,
            What::Null => return Ok(()),
        };
        let operators = match shape {
            Shape::Text | Shape::Texts => "String…",
            Shape::Arn => "Arn… or String…",
            Shape::Time => "Date…",
            Shape::EpochTime => "Date… or Numeric…",
            Shape::Address => "IpAddress or NotIpAddress",
            Shape::Flag => "Bool",
        };
        if !fits {
            return Err(Error::new(at, format!("be compared by {operators}, or asked for by Null")));
        }
        if shape == Shape::Texts && self.set == Set::One {
            return Err(Error::new(at, "be asked for with ForAllValues: or ForAnyValue:, since it has several values"));
        }
        Ok(())
    }
}
