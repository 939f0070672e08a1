//! The keys that conditions may ask for, and where their values are. Names are compared whatever their case, tags' too.
//!
//! Source: IAM user guide, "AWS global condition context keys"; those that can have a value here.

use std::net::IpAddr;

use super::super::Caller;
use super::super::ask::Ask;
use super::super::error::Error;
use super::super::principals::account_of;

/// A key, known to have values here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    SourceIp,
    SecureTransport,
    CurrentTime,
    EpochTime,
    PrincipalArn,
    PrincipalAccount,
    Username,
    ResourceTag(Box<str>),
    RequestTag(Box<str>),
    TagKeys,
}

/// What kind of value a key has, which says how it may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Texts,
    Arn,
    Time,
    EpochTime,
    Address,
    Flag,
}

/// The value, or the values, of a key in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Absent,
    Text(&'a str),
    Several(Vec<&'a str>),
    /// Seconds since 1970.
    Time(i64),
    Address(IpAddr),
    Flag(bool),
}

impl Key {
    pub(super) fn parse(at: &str, name: &str) -> Result<Self, Error> {
        if let Some((family, tag)) = name.split_once('/') {
            let is_tag = !tag.is_empty() && !tag.contains("${");
            match family.to_ascii_lowercase().as_str() {
                "aws:resourcetag" if is_tag => return Ok(Self::ResourceTag(tag.into())),
                "aws:requesttag" if is_tag => return Ok(Self::RequestTag(tag.into())),
                _ => {}
            }
        }
        Ok(match name.to_ascii_lowercase().as_str() {
            "aws:sourceip" => Self::SourceIp,
            "aws:securetransport" => Self::SecureTransport,
            "aws:currenttime" => Self::CurrentTime,
            "aws:epochtime" => Self::EpochTime,
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" => Self::PrincipalAccount,
            "aws:username" => Self::Username,
            "aws:tagkeys" => Self::TagKeys,
            _ => {
                let rule = "name a condition key of this server: aws:SourceIp, aws:SecureTransport, aws:CurrentTime, \
                            aws:EpochTime, aws:PrincipalArn, aws:PrincipalAccount, aws:username, aws:ResourceTag/TAG, \
                            aws:RequestTag/TAG or aws:TagKeys";
                return Err(Error::new(at, rule));
            }
        })
    }

    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::SourceIp => Shape::Address,
            Self::SecureTransport => Shape::Flag,
            Self::CurrentTime => Shape::Time,
            Self::EpochTime => Shape::EpochTime,
            Self::PrincipalArn => Shape::Arn,
            Self::PrincipalAccount | Self::Username | Self::ResourceTag(_) | Self::RequestTag(_) => Shape::Text,
            Self::TagKeys => Shape::Texts,
        }
    }

    pub(super) fn find<'a>(&self, ask: &Ask<'a>) -> Found<'a> {
        let context = ask.context;
        let principal = match ask.caller {
            Caller::Signed(principal) => Some(principal),
            Caller::Token => None,
        };
        let text = |text: Option<&'a str>| text.map_or(Found::Absent, Found::Text);
        match self {
            Self::SourceIp => context.via.map_or(Found::Absent, |via| Found::Address(via.peer.to_canonical())),
            Self::SecureTransport => context.via.map_or(Found::Absent, |via| Found::Flag(via.secure)),
            Self::CurrentTime | Self::EpochTime => Found::Time(context.now.as_secs()),
            Self::PrincipalArn => text(principal.map(|principal| principal.arn.as_str())),
            Self::PrincipalAccount => text(principal.and_then(|principal| account_of(&principal.arn))),
            Self::Username => text(principal.map(|principal| principal.name.as_str())),
            Self::ResourceTag(tag) => tagged(tag, ask.tags.iter()),
            Self::RequestTag(tag) => tagged(tag, context.request_tags.iter()),
            Self::TagKeys => several(context.request_tags.keys().chain(&context.removed_tags).map(String::as_str)),
        }
    }
}

/// Returns the values of a tag: of several, where keys differ in case only.
fn tagged<'a>(tag: &str, tags: impl Iterator<Item = (&'a String, &'a String)>) -> Found<'a> {
    several(tags.filter(|(key, _)| key.eq_ignore_ascii_case(tag)).map(|(_, value)| value.as_str()))
}

fn several<'a>(values: impl Iterator<Item = &'a str>) -> Found<'a> {
    let values: Vec<&str> = values.collect();
    if values.is_empty() { Found::Absent } else { Found::Several(values) }
}

impl Found<'_> {
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }

    /// Tells whether a value passes.
    pub(super) fn any(&self, passes: impl Fn(&Self) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::Several(values) => values.iter().any(|value| passes(&Found::Text(value))),
            one => passes(one),
        }
    }
}
