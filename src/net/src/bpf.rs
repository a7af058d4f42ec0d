//! Programs of classic BPF by which the kernel tells whose a packet is.
//!
//! Source: Linux, Documentation/networking/filter.rst; cls_bpf gives a program the packet from
//! its Ethernet header on, and takes 0 for "no match", all ones for "match".

use std::ops::RangeInclusive;

use nix::libc;

use crate::ports::{Ports, Protocol};

/// An instruction of classic BPF: `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    /// `jt`: how many instructions are jumped over where the condition holds.
    jump_if: u8,
    /// `jf`: and where it does not.
    jump_if_not: u8,
    /// `k`.
    operand: u32,
}

/// Bytes of an operand.
const WORD: usize = 4;

/// The length of an Ethernet header and of IPv6's, in bytes; the offset of the EtherType.
const ETHERNET_HEADER: u32 = 14;
const IPV6_HEADER: u32 = 40;
const ETHERTYPE: u32 = 12;

/// What a program returns to cls_bpf: no match, or a match of the filter's own class.
const NO_MATCH: u32 = 0;
const MATCH: u32 = u32::MAX;

// The mnemonics of bpf_asm (Documentation/networking/filter.rst, "Networking").

/// Jumps over so many instructions.
const JA: Instruction = Instruction::new(libc::BPF_JMP | libc::BPF_JA);
/// The accumulator becomes the operand.
const LDI: Instruction = Instruction::new(libc::BPF_LD | libc::BPF_IMM);
/// The accumulator becomes 16 or 8 bits of the packet, at an offset.
const LDH: Instruction = Instruction::new(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS);
const LDB: Instruction = Instruction::new(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
/// Likewise, at an offset from X.
const LDH_IND: Instruction = Instruction::new(libc::BPF_LD | libc::BPF_H | libc::BPF_IND);
const LDB_IND: Instruction = Instruction::new(libc::BPF_LD | libc::BPF_B | libc::BPF_IND);
/// X becomes the length of the IPv4 header at an offset.
const LDX_MSH: Instruction = Instruction::new(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH);
const JEQ: Instruction = Instruction::new(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
const JGT: Instruction = Instruction::new(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K);
const JGE: Instruction = Instruction::new(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
const JSET: Instruction = Instruction::new(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
const RET: Instruction = Instruction::new(libc::BPF_RET | libc::BPF_K);

/// EtherTypes (IEEE 802, as Linux names them).
const ARP: u32 = libc::ETH_P_ARP as u32;
const IPV4: u32 = libc::ETH_P_IP as u32;
const IPV6: u32 = libc::ETH_P_IPV6 as u32;

impl Instruction {
    /// An instruction by its opcode, which libc has the parts of as `u32`.
    #[expect(clippy::cast_possible_truncation, reason = "opcodes have 16 bits")]
    const fn new(code: u32) -> Self {
        Self {
            code: code as u16,
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
pub(crate) fn with_label(label: &str, program: Vec<Instruction>) -> Vec<Instruction> {
    let words = label.as_bytes().chunks(WORD).map(|chunk| {
        let mut word = [0; WORD];
        word[..chunk.len()].copy_from_slice(chunk);
        LDI.with(u32::from_ne_bytes(word))
    });
    let words: Vec<_> = words.collect();
    let count = u32::try_from(words.len()).expect("a label is a line of text");
    let jump = JA.with(count);
    [jump].into_iter().chain(words).chain(program).collect()
}

/// The text before a program that the kernel has.
pub(crate) fn read_label(program: &[u8]) -> Option<String> {
    let instructions: Vec<_> = program.as_chunks().0.iter().map(Instruction::of).collect();
    let (first, rest) = instructions.split_first()?;
    let words = rest.get(..usize::try_from(first.operand).ok()?)?;
    if first.code != JA.code || words.iter().any(|word| word.code != LDI.code) {
        return None;
    }
    let bytes = words.iter().flat_map(|word| word.operand.to_ne_bytes());
    String::from_utf8(bytes.filter(|&byte| byte != 0).collect()).ok()
}

/// The program that matches every packet.
pub(crate) fn match_all() -> Vec<Instruction> {
    vec![RET.with(MATCH)]
}

/// The program that matches a packet to one of the ports. Of a packet in fragments the first
/// alone has ports; in IPv6 an extension header hides them.
pub(crate) fn match_ports(ports: &Ports) -> Vec<Instruction> {
    let mut program = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let ranges: Vec<_> = ports.ranges(protocol).flat_map(match_range).collect();
        if ranges.is_empty() {
            continue;
        }
        let to_port = [LDH_IND.with(ETHERNET_HEADER + 2)];
        program.extend(ipv4(protocol.number(), &[&to_port[..], &ranges].concat()));
        let to_port = [LDH.with(ETHERNET_HEADER + IPV6_HEADER + 2)];
        program.extend(ipv6(protocol.number(), &[&to_port[..], &ranges].concat()));
    }
    program.push(RET.with(NO_MATCH));
    program
}

/// The program that matches what all that share an address need: ARP, IPv6's neighbour
/// discovery, and the errors that ICMP reports.
pub(crate) fn match_shared() -> Vec<Instruction> {
    let mut program = vec![LDH.with(ETHERTYPE), JEQ.with(ARP).skips(0, 1)];
    program.push(RET.with(MATCH));
    // Destination unreachable; time exceeded and parameter problem.
    let kinds = [match_range(3..=3), match_range(11..=12)].concat();
    let kind = [LDB_IND.with(ETHERNET_HEADER)];
    program.extend(ipv4(1, &[&kind[..], &kinds].concat()));
    // The four errors; router and neighbour solicitations, advertisements, redirects.
    let kinds = [match_range(1..=4), match_range(133..=137)].concat();
    let kind = [LDB.with(ETHERNET_HEADER + IPV6_HEADER)];
    program.extend(ipv6(58, &[&kind[..], &kinds].concat()));
    program.push(RET.with(NO_MATCH));
    program
}

/// Ends with a match where what was loaded is in the range.
fn match_range(range: RangeInclusive<u16>) -> [Instruction; 3] {
    [
        JGE.with((*range.start()).into()).skips(0, 2),
        JGT.with((*range.end()).into()).skips(1, 0),
        RET.with(MATCH),
    ]
}

/// Does `then`, with X the length of the IP header, for IPv4 of this protocol: for whole
/// packets and first fragments.
fn ipv4(protocol: u32, then: &[Instruction]) -> Vec<Instruction> {
    let end = jump_over(then);
    let mut block = vec![
        LDH.with(ETHERTYPE),
        JEQ.with(IPV4).skips(0, end + 5),
        LDB.with(ETHERNET_HEADER + 9),
        JEQ.with(protocol).skips(0, end + 3),
        LDH.with(ETHERNET_HEADER + 6),
        JSET.with(0x1fff).skips(end + 1, 0),
        LDX_MSH.with(ETHERNET_HEADER),
    ];
    block.extend(then);
    block
}

/// Does `then` for IPv6 whose header is followed by this protocol's.
fn ipv6(protocol: u32, then: &[Instruction]) -> Vec<Instruction> {
    let end = jump_over(then);
    let mut block = vec![
        LDH.with(ETHERTYPE),
        JEQ.with(IPV6).skips(0, end + 2),
        LDB.with(ETHERNET_HEADER + 6),
        JEQ.with(protocol).skips(0, end),
    ];
    block.extend(then);
    block
}

/// The jump to the end of a block.
fn jump_over(block: &[Instruction]) -> u8 {
    u8::try_from(block.len()).expect("a block has three instructions for each of 12 ranges")
}

#[cfg(test)]
mod tests;
