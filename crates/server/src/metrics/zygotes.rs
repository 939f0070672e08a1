//! Series of zygotes: interpreters that agents are forked from.

use std::fmt::{self, Write};

use innkeep_sandbox::driver::ZygoteState;
use innkeep_sandbox::{ZygoteCounts, ZygoteRefusal};

use super::head;

/// Returns the series: `states` of all versions that want one, and what has happened.
pub(super) fn text<'a>(states: impl Iterator<Item = &'a ZygoteState>, counts: &ZygoteCounts) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, states, counts);
    text
}

fn write<'a>(text: &mut String, states: impl Iterator<Item = &'a ZygoteState>, counts: &ZygoteCounts) -> fmt::Result {
    head(text, "innkeep_zygotes", "gauge", "Versions that want a zygote, by what there is of it.")?;
    let (mut starting, mut ready, mut resting, mut unfit) = (0, 0, 0, 0);
    for state in states {
        match state {
            ZygoteState::Starting => starting += 1,
            ZygoteState::Ready => ready += 1,
            ZygoteState::Resting(_) => resting += 1,
            ZygoteState::Unfit(_) => unfit += 1,
        }
    }
    for (state, n) in [("starting", starting), ("ready", ready), ("resting", resting), ("unfit", unfit)] {
        writeln!(text, "innkeep_zygotes{{state=\"{state}\"}} {n}")?;
    }
    head(text, "innkeep_zygote_memory_bytes", "gauge", "Memory of zygotes that import or fork.")?;
    writeln!(text, "innkeep_zygote_memory_bytes {}", counts.memory_bytes)?;
    for (name, help, n) in [
        ("innkeep_zygote_forks_total", "Agents that were forked from a zygote.", counts.forks),
        ("innkeep_zygote_restarts_total", "Zygotes started in the place of one that failed.", counts.restarts),
    ] {
        head(text, name, "counter", help)?;
        writeln!(text, "{name} {n}")?;
    }
    head(text, "innkeep_zygote_refusals_total", "counter", "How often a version was left without a zygote.")?;
    for why in ZygoteRefusal::ALL {
        let (word, n) = (why.as_str(), counts.refusals.get(&why).copied().unwrap_or_default());
        writeln!(text, "innkeep_zygote_refusals_total{{reason=\"{word}\"}} {n}")?;
    }
    Ok(())
}
