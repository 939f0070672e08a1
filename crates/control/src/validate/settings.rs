//! The settings header: what AWS has no field for.

use http::HeaderMap;
use innkeep_protocol::headers::SETTINGS;
use innkeep_types::{OutOfBounds, Settings};
use serde_json::{Map, Value};

use crate::validate::Violations;

/// Returns the settings, if the request has any. The outer `None` is a broken rule.
pub(crate) fn settings(headers: &HeaderMap, found: &mut Violations) -> Option<Option<Settings>> {
    let name = SETTINGS;
    let at = name.as_str();
    let Some(header) = headers.get(&name) else { return Some(None) };
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(header.as_bytes()) else {
        return found.must(at, "be a JSON object");
    };
    settings_object(&format!("{at}."), object, found).map(Some)
}

/// Returns the settings of an object whose members' paths begin with `at`.
pub(crate) fn settings_object(at: &str, object: Map<String, Value>, found: &mut Violations) -> Option<Settings> {
    let mut n_unknown = 0;
    for key in object.keys().filter(|key| !Settings::KEYS.contains(&key.as_str())) {
        n_unknown += 1;
        found.say::<()>(&format!("{at}{key}"), unknown(key));
    }
    if n_unknown > 0 {
        return None;
    }
    match serde_path_to_error::deserialize::<_, Settings>(Value::Object(object)) {
        Ok(settings) => bounded(at, settings, found),
        Err(error) => {
            let at = format!("{at}{}", error.path());
            found.must(&at, format_args!("have the setting's type ({})", error.into_inner()))
        }
    }
}

fn bounded(at: &str, settings: Settings, found: &mut Violations) -> Option<Settings> {
    let broken = settings.out_of_bounds();
    for OutOfBounds { setting, given, bounds } in &broken {
        let (rule, bound) = match given < bounds.start() {
            true => ("greater", bounds.start()),
            false => ("less", bounds.end()),
        };
        found.must::<()>(&format!("{at}{setting}"), format_args!("have value {rule} than or equal to {bound}"));
    }
    broken.is_empty().then_some(settings)
}

/// Names the nearest known key, as a typing error is what an unknown one mostly is.
fn unknown(key: &str) -> String {
    let nearest = Settings::KEYS.into_iter().min_by_key(|known| strsim::levenshtein(key, known));
    let hint = nearest.map_or_else(String::new, |nearest| format!("; the nearest one is `{nearest}`"));
    format!("there is no setting `{key}`{hint}")
}
