//! The tables agree with each other; the program does what the tables say, for every number; it stops real calls and lets real
//! programs work.

mod live;
mod machine;

use std::collections::BTreeSet;

use machine::{Data, HERE, run};

use super::arguments::{self, GUARDS};
use super::calls::{ALLOWED, ALLOWED_HERE, ALLOWED_SINCE, Call, REFUSED, REFUSED_HERE};
use super::*;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;
const EAFNOSUPPORT: u32 = libc::SECCOMP_RET_ERRNO | 97;

/// What must never be allowed, apart from the tables that say so.
const DANGEROUS: &str = "mount umount2 unshare setns keyctl add_key request_key ptrace process_vm_readv process_vm_writev reboot \
    pivot_root chroot pidfd_getfd bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register kexec_load \
    kexec_file_load init_module finit_module delete_module open_by_handle_at name_to_handle_at quotactl quotactl_fd acct swapon \
    swapoff settimeofday clock_settime adjtimex clock_adjtime syslog fanotify_init lookup_dcookie nfsservctl vhangup fsopen \
    fsmount fsconfig fspick move_mount open_tree open_tree_attr mount_setattr sethostname setdomainname";

fn lists() -> [(&'static str, &'static [Call]); 5] {
    [
        ("allowed", ALLOWED),
        ("allowed here", ALLOWED_HERE),
        ("allowed since", ALLOWED_SINCE),
        ("refused", REFUSED),
        ("refused here", REFUSED_HERE),
    ]
}

fn guarded() -> Vec<Call> {
    GUARDS.iter().map(|guard| guard.call).collect()
}

/// Returns the answer to a call on this architecture.
fn answer(number: libc::c_long, arguments: [u64; 6]) -> u32 {
    let number = u32::try_from(number).unwrap();
    run(&filter(), &Data { number, architecture: HERE, arguments }).unwrap()
}

#[test]
fn every_list_is_sorted() {
    for (name, list) in lists() {
        assert!(list.is_sorted(), "{name}");
    }
    assert!(guarded().is_sorted());
}

#[test]
fn every_call_stands_in_one_place() {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for call in lists().into_iter().flat_map(|(_, list)| list).copied().chain(guarded()) {
        assert!(names.insert(call.0), "{} twice", call.0);
        assert!(numbers.insert(call.1), "the number of {} twice", call.0);
    }
    assert_eq!(names.len(), rules().len());
}

#[test]
fn what_is_dangerous_is_refused_by_name() {
    let refused: BTreeSet<_> = REFUSED.iter().chain(REFUSED_HERE).map(|(name, _)| *name).collect();
    for name in DANGEROUS.split_whitespace() {
        assert!(refused.contains(format!("SYS_{name}").as_str()), "{name}");
    }
}

#[test]
fn numbers_written_by_hand_are_those_of_libc() {
    let by_hand = |name: &str| ALLOWED_SINCE.iter().find(|call| call.0 == name).unwrap().1;
    assert_eq!(by_hand("SYS_futex_waitv"), libc::SYS_futex_waitv);
    assert_eq!(by_hand("SYS_mseal"), libc::SYS_mseal);
    assert_eq!(by_hand("SYS_set_mempolicy_home_node"), libc::SYS_set_mempolicy_home_node);
    let new = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    let new = new | libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    assert_eq!(i64::from(arguments::NEW_NAMESPACES), i64::from(new));
    for (ours, theirs) in [
        (arguments::AF_UNIX, libc::AF_UNIX),
        (arguments::AF_INET, libc::AF_INET),
        (arguments::AF_INET6, libc::AF_INET6),
        (arguments::AF_NETLINK, libc::AF_NETLINK),
        (arguments::NETLINK_ROUTE, libc::NETLINK_ROUTE),
    ] {
        assert_eq!(i64::from(ours), i64::from(theirs));
    }
    assert_eq!(i128::from(arguments::TIOCSTI), i128::from(libc::TIOCSTI));
    assert_eq!(i128::from(arguments::TIOCLINUX), i128::from(libc::TIOCLINUX));
}

/// Every number up to far beyond the last, and that with the bit of x32: where a search goes wrong it does so at an edge.
#[test]
fn the_program_answers_every_number_by_its_rule() {
    let (rules, filter) = (rules(), filter());
    let run = |number, arguments| run(&filter, &Data { number, architecture: HERE, arguments }).unwrap();
    for number in 0..2000 {
        let expected = match rules.get(&number) {
            None => ENOSYS,
            Some(Rule::Always(Verdict::Allow)) => ALLOW,
            Some(Rule::Always(Verdict::Refuse(errno))) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
            Some(Rule::Guarded(_)) => continue,
        };
        assert_eq!(run(number, [0; 6]), expected, "call {number}");
        assert_eq!(run(number, [u64::MAX; 6]), expected, "call {number}");
    }
    for number in (0..2000).map(|number| number | 0x4000_0000).chain([i32::MAX.unsigned_abs(), u32::MAX]) {
        assert_eq!(run(number, [0; 6]), ENOSYS, "call {number:#x}");
    }
}

#[test]
fn another_architecture_ends_the_process() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    const RISCV64: u32 = 0xc000_00f3;
    for architecture in [I386, ARM, RISCV64, 0] {
        for number in 0..500 {
            let data = Data { number, architecture, arguments: [0; 6] };
            assert_eq!(run(&filter(), &data), Some(libc::SECCOMP_RET_KILL_PROCESS));
        }
    }
}

/// The kernel reads an `int` from the lower half of a register: so do the guards, whatever the upper half holds.
#[track_caller]
fn check(number: libc::c_long, arguments: &[u32], expected: u32) {
    for upper in [0, 1 << 32, 0xffff_ffff << 32] {
        let mut registers = [upper; 6];
        for (register, argument) in registers.iter_mut().zip(arguments) {
            *register = upper | u64::from(*argument);
        }
        assert_eq!(answer(number, registers), expected, "call {number} with {registers:x?}");
    }
}

#[test]
fn clone_makes_no_namespace() {
    const THREAD: u32 = 0x003d_0f00;
    check(libc::SYS_clone, &[17], ALLOW);
    check(libc::SYS_clone, &[THREAD], ALLOW);
    for bit in (0..32).map(|bit| 1u32 << bit) {
        let new = arguments::NEW_NAMESPACES & bit != 0;
        check(libc::SYS_clone, &[THREAD | bit], if new { EPERM } else { ALLOW });
    }
    check(libc::SYS_clone3, &[], ENOSYS);
}

#[test]
fn sockets_are_local_internet_or_route() {
    const STREAM: u32 = 1;
    for family in 0..64 {
        let known = [arguments::AF_UNIX, arguments::AF_INET, arguments::AF_INET6].contains(&family);
        check(libc::SYS_socket, &[family, STREAM, 6], if known { ALLOW } else { EAFNOSUPPORT });
        let pair = family == arguments::AF_UNIX;
        check(libc::SYS_socketpair, &[family, STREAM, 0], if pair { ALLOW } else { EAFNOSUPPORT });
    }
    for (family, icmp) in [(arguments::AF_INET, 1), (arguments::AF_INET6, 58)] {
        for protocol in 0..300 {
            // SCTP (132), DCCP (33) and L2TP (115) are modules too.
            let usual = [0, 6, 17, icmp, 262].contains(&protocol);
            check(libc::SYS_socket, &[family, STREAM, protocol], if usual { ALLOW } else { EAFNOSUPPORT });
        }
    }
    for protocol in 0..32 {
        let route = protocol == arguments::NETLINK_ROUTE;
        check(libc::SYS_socket, &[arguments::AF_NETLINK, 3, protocol], if route { ALLOW } else { EAFNOSUPPORT });
    }
}

#[test]
fn nothing_types_into_a_terminal() {
    check(libc::SYS_ioctl, &[0, arguments::TIOCSTI], EPERM);
    check(libc::SYS_ioctl, &[0, arguments::TIOCLINUX], EPERM);
    check(libc::SYS_ioctl, &[arguments::TIOCSTI, 0x5401], ALLOW);
}

#[test]
fn no_device_is_made() {
    for format in (0..16).map(|format| format << 12) {
        let harmless = [0, arguments::S_IFREG, arguments::S_IFIFO, arguments::S_IFSOCK].contains(&format);
        let expected = if harmless { ALLOW } else { EPERM };
        check(libc::SYS_mknodat, &[0, 0, format | 0o644], expected);
        #[cfg(target_arch = "x86_64")]
        check(libc::SYS_mknod, &[0, format | 0o644], expected);
    }
}

#[test]
fn a_personality_does_not_weaken_memory() {
    const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
    const READ_IMPLIES_EXEC: u32 = 0x040_0000;
    for persona in [0, 8, 0x2_0000, 0x2_0008, u32::MAX] {
        check(libc::SYS_personality, &[persona], ALLOW);
    }
    for persona in [ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, 8 | ADDR_NO_RANDOMIZE, 0xffff_fffe] {
        check(libc::SYS_personality, &[persona], EPERM);
    }
}

/// Long filters cost every start and every call that the kernel must look at.
#[test]
fn the_program_is_short() {
    let length = filter().len();
    assert!(length < 300, "{length}");
}
