//! Programs by which the kernel tells whose a packet is: classic BPF.
//!
//! Source: Linux, Documentation/networking/filter.rst; cls_bpf gives a program the packet from
//! its Ethernet header on, and takes 0 for "not mine", all ones for "mine".

use std::ops::RangeInclusive;

use super::ports::{Ports, Protocol};

/// An instruction of classic BPF: `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    jump_if: u8,
    jump_if_not: u8,
    operand: u32,
}

/// Bytes of an operand.
const WORD: usize = 4;

/// Offsets into a packet: behind the Ethernet header, behind IPv6's.
const ETHERNET: u32 = 14;
const IPV6: u32 = 40;

/// What a program returns: cls_bpf's "not mine" and "mine, of the filter's own class".
const NO: u32 = 0;
const YES: u32 = u32::MAX;

/// Jumps over so many instructions.
const JUMP: Instruction = Instruction::new(0x05);
/// The accumulator becomes the operand.
const LOAD: Instruction = Instruction::new(0x00);
const LOAD_HALF: Instruction = Instruction::new(0x28);
const LOAD_BYTE: Instruction = Instruction::new(0x30);
const LOAD_HALF_AT_X: Instruction = Instruction::new(0x48);
const LOAD_BYTE_AT_X: Instruction = Instruction::new(0x50);
/// X becomes the length of the IPv4 header at an offset.
const LOAD_HEADER_LENGTH: Instruction = Instruction::new(0xb1);
const IF_EQUAL: Instruction = Instruction::new(0x15);
const IF_GREATER: Instruction = Instruction::new(0x25);
const IF_NOT_LESS: Instruction = Instruction::new(0x35);
const IF_ANY_BIT: Instruction = Instruction::new(0x45);
const RETURN: Instruction = Instruction::new(0x06);

impl Instruction {
    const fn new(code: u16) -> Self {
        Self {
            code,
            jump_if: 0,
            jump_if_not: 0,
            operand: 0,
        }
    }

    const fn with(self, operand: u32) -> Self {
        Self { operand, ..self }
    }

    /// Jumps over so many instructions where the condition holds, or else where it does not.
    const fn skips(self, jump_if: u8, jump_if_not: u8) -> Self {
        Self {
            jump_if,
            jump_if_not,
            ..self
        }
    }

    fn of(bytes: &[u8; 8]) -> Self {
        let [a, b, jump_if, jump_if_not, operand @ ..] = *bytes;
        Self {
            code: u16::from_ne_bytes([a, b]),
            jump_if,
            jump_if_not,
            operand: u32::from_ne_bytes(operand),
        }
    }

    /// As the kernel reads it.
    pub(crate) fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        (bytes[2], bytes[3]) = (self.jump_if, self.jump_if_not);
        bytes[4..].copy_from_slice(&self.operand.to_ne_bytes());
        bytes
    }
}

/// The same program with a text before it, over which it jumps: the kernel keeps no other name
/// of a classic program.
pub(crate) fn labelled(label: &str, program: Vec<Instruction>) -> Vec<Instruction> {
    let words = label.as_bytes().chunks(WORD).map(|chunk| {
        let mut word = [0; WORD];
        word[..chunk.len()].copy_from_slice(chunk);
        LOAD.with(u32::from_ne_bytes(word))
    });
    let words: Vec<_> = words.collect();
    // A line of text.
    let count = words.len() as u32;
    let jump = JUMP.with(count);
    [jump].into_iter().chain(words).chain(program).collect()
}

/// The text before a program that the kernel has.
pub(crate) fn label(program: &[u8]) -> Option<String> {
    let instructions: Vec<_> = program.as_chunks().0.iter().map(Instruction::of).collect();
    let (first, rest) = instructions.split_first()?;
    let words = rest.get(..usize::try_from(first.operand).ok()?)?;
    if first.code != JUMP.code || words.iter().any(|word| word.code != LOAD.code) {
        return None;
    }
    let bytes = words.iter().flat_map(|word| word.operand.to_ne_bytes());
    String::from_utf8(bytes.filter(|&byte| byte != 0).collect()).ok()
}

/// The program that finds every packet.
pub(crate) fn everything() -> Vec<Instruction> {
    vec![RETURN.with(YES)]
}

/// The program that finds a packet to one of the ports. Of a packet in fragments the first
/// alone has ports; in IPv6 an extension header hides them.
pub(crate) fn to_ports(ports: &Ports) -> Vec<Instruction> {
    let mut program = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let ranges: Vec<_> = ports.of(protocol).flat_map(within).collect();
        if ranges.is_empty() {
            continue;
        }
        let to_port = [LOAD_HALF_AT_X.with(ETHERNET + 2)];
        program.extend(ipv4(protocol.number(), &[&to_port[..], &ranges].concat()));
        let to_port = [LOAD_HALF.with(ETHERNET + IPV6 + 2)];
        program.extend(ipv6(protocol.number(), &[&to_port[..], &ranges].concat()));
    }
    program.push(RETURN.with(NO));
    program
}

/// The program that finds what all that share an address must hear: ARP, IPv6's neighbour
/// discovery, and the errors that ICMP reports.
pub(crate) fn shared() -> Vec<Instruction> {
    let mut program = vec![LOAD_HALF.with(12), IF_EQUAL.with(0x806).skips(0, 1)];
    program.push(RETURN.with(YES));
    // Destination unreachable; time exceeded and parameter problem.
    let kinds = [within(3..=3), within(11..=12)].concat();
    let kind = [LOAD_BYTE_AT_X.with(ETHERNET)];
    program.extend(ipv4(1, &[&kind[..], &kinds].concat()));
    // The four errors; router and neighbour solicitations, advertisements, redirects.
    let kinds = [within(1..=4), within(133..=137)].concat();
    let kind = [LOAD_BYTE.with(ETHERNET + IPV6)];
    program.extend(ipv6(58, &[&kind[..], &kinds].concat()));
    program.push(RETURN.with(NO));
    program
}

/// Ends with yes where what was loaded is in the range.
fn within(range: RangeInclusive<u16>) -> [Instruction; 3] {
    [
        IF_NOT_LESS.with((*range.start()).into()).skips(0, 2),
        IF_GREATER.with((*range.end()).into()).skips(1, 0),
        RETURN.with(YES),
    ]
}

/// Does `then`, with X the length of the IP header, for IPv4 of this protocol: for whole
/// packets and first fragments.
fn ipv4(protocol: u32, then: &[Instruction]) -> Vec<Instruction> {
    // A few dozen: there are not many ranges of ports.
    let end = then.len() as u8;
    let mut block = vec![
        LOAD_HALF.with(12),
        IF_EQUAL.with(0x800).skips(0, end + 5),
        LOAD_BYTE.with(ETHERNET + 9),
        IF_EQUAL.with(protocol).skips(0, end + 3),
        LOAD_HALF.with(ETHERNET + 6),
        IF_ANY_BIT.with(0x1fff).skips(end + 1, 0),
        LOAD_HEADER_LENGTH.with(ETHERNET),
    ];
    block.extend(then);
    block
}

/// Does `then` for IPv6 whose header is followed by this protocol's.
fn ipv6(protocol: u32, then: &[Instruction]) -> Vec<Instruction> {
    let end = then.len() as u8;
    let mut block = vec![
        LOAD_HALF.with(12),
        IF_EQUAL.with(0x86dd).skips(0, end + 2),
        LOAD_BYTE.with(ETHERNET + 6),
        IF_EQUAL.with(protocol).skips(0, end),
    ];
    block.extend(then);
    block
}

#[cfg(test)]
mod tests;
