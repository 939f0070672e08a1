//! `lifecycleConfiguration`: when sessions end.

use innkeep_protocol::control::LifecycleConfiguration;
use innkeep_types::{Lifecycle, limits};

use crate::validate::Violations;

/// Returns both times, the absent ones by default: only `maxLifetime` given brings the idle timeout down to itself.
pub(super) fn lifecycle(configuration: Option<&LifecycleConfiguration>, found: &mut Violations) -> Option<Lifecycle> {
    let defaults = Lifecycle::default();
    let Some(configuration) = configuration else { return Some(defaults) };
    let at_idle = "lifecycleConfiguration.idleRuntimeSessionTimeout";
    let idle = seconds(at_idle, configuration.idle_runtime_session_timeout, found);
    let max = seconds("lifecycleConfiguration.maxLifetime", configuration.max_lifetime, found);
    let (idle, max) = (idle?, max?);
    let max_lifetime_secs = max.unwrap_or(defaults.max_lifetime_secs);
    let idle_timeout_secs = idle.unwrap_or_else(|| defaults.idle_timeout_secs.min(max_lifetime_secs));
    if idle_timeout_secs > max_lifetime_secs {
        return found.say(at_idle, "idleRuntimeSessionTimeout must be less than or equal to maxLifetime");
    }
    Some(Lifecycle { idle_timeout_secs, max_lifetime_secs })
}

/// The outer `None` is a broken rule, the inner an absent member.
fn seconds(at: &str, value: Option<i64>, found: &mut Violations) -> Option<Option<u32>> {
    let bounds = i64::from(limits::LIFECYCLE_MIN_SECS)..=i64::from(limits::LIFECYCLE_MAX_SECS);
    match value {
        Some(value) => found.range(at, value, bounds).map(Some),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_times_are_filled_in_by_rule() {
        for (idle, max, want) in [
            (None, None, Some((900, 28_800))),
            (Some(60), None, Some((60, 28_800))),
            (None, Some(600), Some((600, 600))),
            (None, Some(900), Some((900, 900))),
            (None, Some(901), Some((900, 901))),
            (Some(1_209_600), Some(1_209_600), Some((1_209_600, 1_209_600))),
            (Some(28_801), None, None),
            (Some(61), Some(60), None),
            (Some(59), Some(60), None),
            (Some(60), Some(1_209_601), None),
            (Some(-1), None, None),
        ] {
            let configuration = LifecycleConfiguration { idle_runtime_session_timeout: idle, max_lifetime: max };
            let mut found = Violations::default();
            let got = lifecycle(Some(&configuration), &mut found);
            let got = got.map(|got| (got.idle_timeout_secs, got.max_lifetime_secs));
            assert_eq!(got, want, "{idle:?} {max:?}");
            assert_eq!(found.into_fields().len(), usize::from(want.is_none()), "{idle:?} {max:?}");
        }
    }
}
