//! `lifecycleConfiguration`: when sessions end.

use innkeep_protocol::control::LifecycleConfiguration;
use innkeep_types::Lifecycle;

use crate::validate::Violations;

/// Returns both times, the absent ones by default: only `maxLifetime` given brings the idle timeout down to itself.
pub(super) fn lifecycle(configuration: Option<&LifecycleConfiguration>, found: &mut Violations) -> Option<Lifecycle> {
    let defaults = Lifecycle::default();
    let Some(configuration) = configuration else { return Some(defaults) };
    // The table has bounds that fit.
    let secs = |value: Option<i64>| value.and_then(|secs| u32::try_from(secs).ok());
    let (idle, max) = (secs(configuration.idle_runtime_session_timeout), secs(configuration.max_lifetime));
    let max_lifetime_secs = max.unwrap_or(defaults.max_lifetime_secs);
    let idle_timeout_secs = idle.unwrap_or_else(|| defaults.idle_timeout_secs.min(max_lifetime_secs));
    if idle_timeout_secs > max_lifetime_secs {
        let at = "lifecycleConfiguration.idleRuntimeSessionTimeout";
        return found.say(at, "idleRuntimeSessionTimeout must be less than or equal to maxLifetime");
    }
    Some(Lifecycle { idle_timeout_secs, max_lifetime_secs })
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
