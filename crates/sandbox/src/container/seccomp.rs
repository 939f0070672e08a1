//! Which system calls an agent may make: the second wall behind namespaces and missing capabilities, which keeps the kernel's
//! rarely used and often broken parts out of reach. Knows numbers and arguments; installs nothing.
//!
//! An allow-list, `calls`, from the default profile of container engines, without what that profile leaves to capabilities.
//! What is listed as dangerous fails with `EPERM`, so that a log says what happened; what nobody thought of fails with `ENOSYS`,
//! as on an older kernel, so that programs fall back. Some calls depend on their `arguments`. `program` makes it machine code.

mod arguments;
mod calls;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arguments::{GUARDS, Guard};
use calls::{ALLOWED, ALLOWED_HERE, ALLOWED_SINCE, Call, REFUSED, REFUSED_HERE};

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    /// The call fails with this `errno` and does nothing.
    Refuse(i32),
}

/// How the answer to a call is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Always(Verdict),
    /// By its arguments.
    Guarded(&'static Guard),
}

/// The rule of a call that no table has. Also of a call of x32, whose numbers lie far above all others.
const UNLISTED: Rule = Rule::Always(Verdict::Refuse(libc::ENOSYS));

/// Returns the filter of an agent, packed as `Walls::seccomp` wants it.
/// Takes some microseconds and is always the same: whoever launches often keeps it.
pub(crate) fn filter() -> Vec<u64> {
    program::compile(&rules()).into_iter().map(program::Instruction::pack).collect()
}

/// Returns the filter of a zygote: an agent's, but that it may enter the namespaces of its forks. They have it too, and one more that
/// refuses that again.
pub(crate) fn filter_of_zygote() -> Vec<u64> {
    let mut rules = rules();
    rules.insert(number(&("SYS_setns", libc::SYS_setns)), Rule::Always(Verdict::Allow));
    program::compile(&rules).into_iter().map(program::Instruction::pack).collect()
}

/// Returns the rules by number of call, all others being [`UNLISTED`].
fn rules() -> BTreeMap<u32, Rule> {
    let allowed = [ALLOWED, ALLOWED_HERE, ALLOWED_SINCE].into_iter().flatten();
    let refused = [REFUSED, REFUSED_HERE].into_iter().flatten();
    let guarded = GUARDS.iter().map(|guard| (number(&guard.call), Rule::Guarded(guard)));
    allowed
        .map(|call| (number(call), Rule::Always(Verdict::Allow)))
        .chain(refused.map(|call| (number(call), Rule::Always(Verdict::Refuse(libc::EPERM)))))
        .chain(guarded)
        .collect()
}

fn number((_, number): &Call) -> u32 {
    u32::try_from(*number).expect("the tables hold small positive numbers")
}
