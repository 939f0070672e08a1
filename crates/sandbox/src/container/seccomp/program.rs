//! From rules to a program of classic BPF, as seccomp(2) takes it.
//!
//! A binary search over runs of numbers that share a rule: some 250 instructions. A chain of comparisons, as seccompiler makes
//! it, has 1,700; the kernel walks it for every number that there is when it is installed (it remembers what is allowed whatever
//! the arguments are), and again in every call that it cannot remember. Measured: 0.65 ms for installing the chain, 0.05 ms for
//! the search.

use std::collections::BTreeMap;

use super::arguments::{Field, Guard};
use super::{Rule, UNLISTED, Verdict};

/// One `sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    /// How many instructions to skip when the comparison holds.
    yes: u8,
    /// How many to skip when it does not.
    no: u8,
    operand: u32,
}

impl Instruction {
    /// Returns it as `code << 48 | jt << 40 | jf << 32 | k`.
    pub(super) fn pack(self) -> u64 {
        u64::from(self.code) << 48 | u64::from(self.yes) << 40 | u64::from(self.no) << 32 | u64::from(self.operand)
    }
}

// Codes of <linux/bpf_common.h>: class, size and mode, or class, operation and source.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const SKIP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`. The lower half of an argument comes first: both architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

/// `AUDIT_ARCH_X86_64`: also what the kernel says of x32, whose numbers have bit 30 set.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const HERE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
const HERE: u32 = 0xc000_00b7;

/// Returns the program that answers each call by its rule, and ends a process that calls as another architecture.
pub(super) fn compile(rules: &BTreeMap<u32, Rule>) -> Vec<Instruction> {
    let mut program = vec![
        load(ARCHITECTURE),
        compare(IF_EQUAL, HERE, 1, 0),
        plain(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    program.extend(search(&runs(rules)));
    program
}

/// Returns where a rule begins that holds up to the next one; the last holds for all numbers above.
fn runs(rules: &BTreeMap<u32, Rule>) -> Vec<(u32, Rule)> {
    let mut runs = Vec::new();
    let mut next = 0;
    for (&number, &rule) in rules {
        if number > next {
            runs.push((next, UNLISTED));
        }
        runs.push((number, rule));
        next = number + 1;
    }
    runs.push((next, UNLISTED));
    runs.dedup_by_key(|(_, rule)| *rule);
    runs
}

fn search(runs: &[(u32, Rule)]) -> Vec<Instruction> {
    match runs {
        [] => decide(UNLISTED),
        [(_, rule)] => decide(*rule),
        _ => {
            let (below, above) = runs.split_at(runs.len() / 2);
            let (middle, below, above) = (above[0].0, search(below), search(above));
            let mut node = skip_if_at_least(middle, below.len());
            node.extend(below);
            node.extend(above);
            node
        }
    }
}

fn skip_if_at_least(number: u32, distance: usize) -> Vec<Instruction> {
    match u8::try_from(distance) {
        Ok(near) => vec![compare(IF_AT_LEAST, number, near, 0)],
        Err(_) => {
            let far = u32::try_from(distance).expect("a program has some hundred instructions");
            vec![compare(IF_AT_LEAST, number, 0, 1), plain(SKIP, far)]
        }
    }
}

fn decide(rule: Rule) -> Vec<Instruction> {
    match rule {
        Rule::Always(verdict) => vec![answer(verdict)],
        Rule::Guarded(guard) => judge(guard),
    }
}

/// Tests the cases in turn. Each consists of its fields, which skip the rest of the case when they fail, and the answer.
fn judge(guard: &Guard) -> Vec<Instruction> {
    let mut program = Vec::new();
    for (fields, verdict) in guard.cases {
        let mut case = vec![answer(*verdict)];
        for field in fields.iter().rev() {
            let rest = u8::try_from(case.len()).expect("a case has a few fields");
            case.splice(0..0, test(field, rest));
        }
        program.extend(case);
    }
    program.push(answer(guard.otherwise));
    program
}

fn test(field: &Field, rest: u8) -> Vec<Instruction> {
    let mut program = vec![load(ARGUMENTS + ARGUMENT_BYTES * u32::from(field.argument))];
    if field.mask != u32::MAX {
        program.push(plain(AND, field.mask));
    }
    program.push(compare(IF_EQUAL, field.value, 0, rest));
    program
}

fn answer(verdict: Verdict) -> Instruction {
    match verdict {
        Verdict::Allow => plain(RETURN, libc::SECCOMP_RET_ALLOW),
        Verdict::Refuse(errno) => plain(RETURN, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
    }
}

fn load(offset: u32) -> Instruction {
    plain(LOAD, offset)
}

fn plain(code: u16, operand: u32) -> Instruction {
    compare(code, operand, 0, 0)
}

fn compare(code: u16, operand: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, operand }
}
