//! What stands behind `innkeep endpoints …`: the runtime's name, which may be left out, and then what is said of its endpoint.

use std::collections::BTreeMap;

use innkeep_types::{EndpointName, RuntimeVersion};

use crate::failure::Failure;
use crate::resolve::{self, NamedEndpoint, OfRuntime};

/// Takes the runtime's name from before `N` words: it is there if there is one word more.
pub(super) fn take<const N: usize>(mut words: Vec<String>, of: OfRuntime) -> Result<(OfRuntime, [String; N]), Failure> {
    let name = (words.len() > N).then(|| words.remove(0));
    let words = words.try_into().map_err(|words: Vec<String>| {
        Failure::usage(format!("expected [NAME] ENDPOINT…, and there are {} words behind the runtime's", words.len()))
    })?;
    Ok((of.named(name)?, words))
}

/// Reads an endpoint's name or ARN.
pub(super) fn endpoint(word: &str) -> Result<NamedEndpoint, Failure> {
    resolve::endpoint(word).map_err(|e| Failure::usage(format!("ENDPOINT {word}: {e}")))
}

/// Reads the name of an endpoint that is to be.
pub(super) fn new_endpoint(word: &str) -> Result<EndpointName, Failure> {
    EndpointName::parse(word).map_err(|e| Failure::usage(format!("ENDPOINT {word}: {e}")))
}

/// Reads `[NAME] ENDPOINT VERSION`; the version may be left out where there are other words to be had.
pub(super) fn moved(
    words: Vec<String>,
    of: OfRuntime,
    is_described: bool,
) -> Result<(OfRuntime, NamedEndpoint, Option<RuntimeVersion>), Failure> {
    let has_version = words.len() > 1 && words.last().is_some_and(|last| resolve::version(last).is_ok());
    if is_described && !has_version {
        let (of, [named]) = take(words, of)?;
        return Ok((of, endpoint(&named)?, None));
    }
    if words.len() < 2 {
        return Err(Failure::usage("to which version?").with_fix("innkeep endpoints move [NAME] ENDPOINT VERSION"));
    }
    let (of, [named, version]) = take(words, of)?;
    let version = resolve::version(&version).map_err(|e| Failure::usage(format!("VERSION {version}: {e}")))?;
    Ok((of, endpoint(&named)?, Some(version)))
}

/// Reads `[NAME] ENDPOINT VERSION=WEIGHT…`.
pub(super) fn shared_out(
    mut words: Vec<String>,
    of: OfRuntime,
) -> Result<(OfRuntime, NamedEndpoint, BTreeMap<RuntimeVersion, u32>), Failure> {
    let n_names = if words.get(1).is_some_and(|second| !second.contains('=')) { 2 } else { 1 };
    let weights = words.split_off(n_names.min(words.len()));
    let (of, [named]) = take(words, of)?;
    let weight = |word: &String| weight(word).map_err(|e| Failure::usage(format!("{word}: {e}")));
    let weights: Vec<_> = weights.iter().map(weight).collect::<Result<_, _>>()?;
    if weights.is_empty() {
        return Err(Failure::usage("among which versions?").with_fix("such as 7=90 8=10"));
    }
    Ok((of, endpoint(&named)?, distinct(weights)?))
}

fn weight(given: &str) -> Result<(RuntimeVersion, u32), String> {
    let expected = || "expected VERSION=WEIGHT, such as 7=90".to_owned();
    let (version, weight) = given.split_once('=').ok_or_else(expected)?;
    let weight = weight.parse().ok().filter(|weight| *weight <= 1000).ok_or("a weight is 0 to 1000")?;
    Ok((resolve::version(version)?, weight))
}

fn distinct(given: Vec<(RuntimeVersion, u32)>) -> Result<BTreeMap<RuntimeVersion, u32>, Failure> {
    let mut weights = BTreeMap::new();
    for (version, weight) in given {
        if weights.insert(version, weight).is_some() {
            return Err(Failure::usage(format!("version {version} is named twice")));
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::weights;
    use crate::failure::Code;

    #[test]
    fn a_split_is_read_and_shown_in_one_notation() {
        let read: Vec<_> = ["v8=10", "7=90"].iter().map(|given| weight(given).unwrap()).collect();
        assert_eq!(weights(&distinct(read.clone()).unwrap()), "7=90 8=10");
        assert_eq!(weights(&BTreeMap::new()), "-");
        assert_eq!(distinct([read.clone(), read].concat()).unwrap_err().code, Code::Usage);
        for bad in ["7", "7=", "=9", "7=-1", "7=1001", "x=1", "7=9=9"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_runtimes_name_may_stand_before_its_endpoint() {
        let of = |name: Option<&str>| OfRuntime::default().named(name.map(str::to_owned)).unwrap();
        let taken = |line| take::<1>(words(line), of(None)).unwrap();
        assert_eq!(taken("prod"), (of(None), ["prod".to_owned()]));
        assert_eq!(taken("hello prod"), (of(Some("hello")), ["prod".to_owned()]));
        assert_eq!(take::<1>(words("hello prod"), of(Some("other"))).unwrap_err().code, Code::Usage);
        assert_eq!(take::<1>(words("a b c"), of(None)).unwrap_err().code, Code::Usage);

        let move_of = |line, is_described| {
            moved(words(line), of(None), is_described).map(|(of, named, version)| (of, named.name.to_string(), version))
        };
        let (prod, seven) = ("prod".to_owned(), RuntimeVersion::new(7));
        assert_eq!(move_of("prod 7", false).unwrap(), (of(None), prod.clone(), seven));
        assert_eq!(move_of("hello prod v7", true).unwrap(), (of(Some("hello")), prod.clone(), seven));
        assert_eq!(move_of("hello prod", true).unwrap(), (of(Some("hello")), prod.clone(), None));
        assert_eq!(move_of("prod", true).unwrap(), (of(None), prod.clone(), None));
        for bad in ["prod", "hello prod", "a b 7 8"] {
            assert_eq!(move_of(bad, false).unwrap_err().code, Code::Usage, "{bad}");
        }

        let split_of = |line| {
            shared_out(words(line), of(None)).map(|(of, named, shares)| (of, named.name.to_string(), weights(&shares)))
        };
        assert_eq!(split_of("prod 7=90 8=10").unwrap(), (of(None), prod.clone(), "7=90 8=10".to_owned()));
        assert_eq!(split_of("hello prod 7=1").unwrap(), (of(Some("hello")), prod, "7=1".to_owned()));
        for bad in ["prod", "hello prod", "hello prod 7=1 x", "7=1"] {
            assert_eq!(split_of(bad).unwrap_err().code, Code::Usage, "{bad}");
        }
    }
}
