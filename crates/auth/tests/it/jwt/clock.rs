//! When a token is good: `exp`, `nbf` and `iat`, a minute around them, and times that are none.

use innkeep_auth::jwt::Error;
use serde_json::{Value, json};

use super::{NOW_SECS, check_claims, claims, lax, with, without};

fn checks(name: &str, value: Value, expect: &Result<(), Error>) {
    let verdict = check_claims(&with(claims(), name, value.clone()), &lax()).map(|_| ());
    assert_eq!(&verdict, expect, "{name} {value}");
}

#[test]
fn a_token_ends_a_minute_after_it_says() {
    for (secs, expect) in [
        (-61, Err(Error::Expired)),
        (-60, Err(Error::Expired)),
        (-59, Ok(())),
        (0, Ok(())),
        (1, Ok(())),
        (100 * 365 * 86_400, Ok(())),
    ] {
        checks("exp", json!(NOW_SECS + secs), &expect);
    }
    checks("exp", json!(1_795_168_740.5), &Ok(()));
    checks("exp", json!(1_795_168_739.999), &Err(Error::Expired));
    checks("exp", json!(1.795_168_801e9), &Ok(()));
    checks("exp", json!(0), &Err(Error::Expired));
    assert_eq!(check_claims(&without(claims(), "exp"), &lax()), Err(Error::Missing("exp")));
}

#[test]
fn a_token_begins_a_minute_before_it_says() {
    for name in ["nbf", "iat"] {
        for (secs, expect) in [
            (-1_000_000, Ok(())),
            (0, Ok(())),
            (60, Ok(())),
            (61, Err(Error::NotYetValid)),
            (86_400, Err(Error::NotYetValid)),
        ] {
            checks(name, json!(NOW_SECS + secs), &expect);
        }
        assert!(check_claims(&without(claims(), name), &lax()).is_ok());
    }
}

#[test]
fn a_time_that_is_none_is_refused_and_not_taken_for_far_away() {
    for name in ["exp", "nbf", "iat"] {
        for value in [
            Value::Null,
            json!("1795172400"),
            json!([1_795_172_400]),
            json!(true),
            json!(-1),
            json!(-0.5),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(253_402_300_800_u64),
            json!(1_795_172_400_000_u64), // milliseconds
        ] {
            checks(name, value, &Err(Error::Malformed(name)));
        }
    }
}
