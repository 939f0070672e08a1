//! A machine for the part of classic BPF that filters use: what the kernel would answer, without asking it.

#[cfg(target_arch = "x86_64")]
pub(super) const HERE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const HERE: u32 = 0xc000_00b7;

/// `struct seccomp_data`, without the instruction pointer.
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

impl Data {
    fn word(&self, offset: usize) -> Option<u32> {
        let mut bytes = Vec::new();
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.architecture.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
    }
}

/// Returns what a packed program answers; none when it is no valid program.
pub(super) fn run(program: &[u64], data: &Data) -> Option<u32> {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let packed = program.get(at)?.to_be_bytes();
        let code = u16::from_be_bytes([packed[0], packed[1]]);
        let (yes, no) = (usize::from(packed[2]), usize::from(packed[3]));
        let operand = u32::from_be_bytes([packed[4], packed[5], packed[6], packed[7]]);
        let distance = usize::try_from(operand).ok()?;
        at += 1;
        match code {
            0x06 => return Some(operand),
            0x20 => accumulator = data.word(distance)?,
            0x54 => accumulator &= operand,
            0x05 => at += distance,
            0x15 => at += if accumulator == operand { yes } else { no },
            0x35 => at += if accumulator >= operand { yes } else { no },
            _ => return None,
        }
    }
}
