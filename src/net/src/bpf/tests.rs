//! The programs, run over packets by an interpreter of the instructions that they use.

use super::*;

/// What a program says of a packet. A load past the packet's end is 0, as in the kernel.
fn run(program: &[Instruction], packet: &[u8]) -> bool {
    let (mut a, mut x, mut at) = (0u32, 0usize, 0);
    let byte = |at: usize| packet.get(at).copied().map(u32::from);
    let half = |at: usize| Some(byte(at)? << 8 | byte(at + 1)?);
    loop {
        let i = program[at];
        let operand = i.operand as usize;
        let loaded = match i.code {
            0x28 => half(operand),
            0x30 => byte(operand),
            0x00 => Some(i.operand),
            0x48 => half(x + operand),
            0x50 => byte(x + operand),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return false };
        a = loaded;
        let jump = match i.code {
            0x06 => return i.operand != 0,
            0x05 => {
                at += operand;
                None
            }
            0xb1 => {
                let Some(length) = byte(operand) else {
                    return false;
                };
                x = (length as usize & 0xf) * 4;
                None
            }
            0x15 => Some(a == i.operand),
            0x25 => Some(a > i.operand),
            0x35 => Some(a >= i.operand),
            0x45 => Some(a & i.operand != 0),
            _ => None,
        };
        at += 1 + match jump {
            Some(true) => usize::from(i.jump_if),
            Some(false) => usize::from(i.jump_if_not),
            None => 0,
        };
    }
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with so many words of options.
fn ipv4_packet(protocol: u8, options: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20 + 4 * usize::from(options)];
    header[0] = 0x45 + options;
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[9] = protocol;
    header.extend(payload);
    ethernet(0x800, &header)
}

fn ipv6_packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 40];
    (header[0], header[6]) = (0x60, protocol);
    header.extend(payload);
    ethernet(0x86dd, &header)
}

/// The ports of a packet from 9999.
fn to(port: u16) -> Vec<u8> {
    [9999u16.to_be_bytes(), port.to_be_bytes()].concat()
}

#[test]
fn ports_are_found_in_both_versions_and_behind_options() {
    let program = match_ports(&"80/tcp,53/udp,1000-2000/tcp".parse().unwrap());
    for (protocol, port, is_mine) in [
        (6, 80, true),
        (17, 80, false),
        (17, 53, true),
        (6, 53, false),
        (6, 999, false),
        (6, 1000, true),
        (6, 2000, true),
        (6, 2001, false),
        (6, 9999, false),
        (1, 80, false),
    ] {
        for packet in [
            ipv4_packet(protocol, 0, 0, &to(port)),
            ipv4_packet(protocol, 10, 0, &to(port)),
            ipv4_packet(protocol, 0, 0x2000, &to(port)),
            ipv4_packet(protocol, 0, 0x4000, &to(port)),
            ipv6_packet(protocol, &to(port)),
        ] {
            assert_eq!(
                run(&program, &packet),
                is_mine,
                "{protocol} {port} {packet:?}"
            );
        }
        let later = ipv4_packet(protocol, 0, 0x2001, &to(port));
        assert!(!run(&program, &later), "a later fragment has no ports");
    }
    assert!(!run(&program, &ethernet(0x806, &[0; 28])));
    assert!(!run(&program, &[0; 14]));
}

#[test]
fn what_concerns_all_is_found() {
    let program = match_shared();
    assert!(run(&program, &ethernet(0x806, &[0; 28])));
    for (kind, is_shared) in [
        (0, false),
        (8, false),
        (3, true),
        (5, false),
        (11, true),
        (12, true),
    ] {
        assert_eq!(
            run(&program, &ipv4_packet(1, 0, 0, &[kind])),
            is_shared,
            "{kind}"
        );
        assert_eq!(
            run(&program, &ipv4_packet(1, 1, 0, &[kind])),
            is_shared,
            "{kind}"
        );
    }
    for (kind, is_shared) in [
        (1, true),
        (4, true),
        (128, false),
        (129, false),
        (133, true),
        (137, true),
    ] {
        assert_eq!(
            run(&program, &ipv6_packet(58, &[kind])),
            is_shared,
            "{kind}"
        );
    }
    assert!(!run(&program, &ipv4_packet(6, 0, 0, &to(3))));
}

#[test]
fn a_label_is_jumped_over_and_found_again() {
    let text = "runu 0123456789abcdef 7 made 80/tcp";
    let program = with_label(text, match_ports(&"80/tcp".parse().unwrap()));
    assert!(run(&program, &ipv4_packet(6, 0, 0, &to(80))));
    assert!(!run(&program, &ipv4_packet(6, 0, 0, &to(81))));
    let bytes: Vec<u8> = program.iter().flat_map(|i| i.bytes()).collect();
    assert_eq!(read_label(&bytes).as_deref(), Some(text));
    for end in 0..8 * 10 {
        assert_eq!(read_label(&bytes[..end]), None, "{end}");
    }
    let other: Vec<u8> = match_shared().iter().flat_map(|i| i.bytes()).collect();
    assert_eq!(read_label(&other), None);
}

#[test]
fn everything_is_matched() {
    assert!(run(&match_all(), &[]));
}

#[test]
fn the_longest_program_jumps_where_it_should() {
    let list: Vec<_> = (1..=12).map(|n| format!("{}/tcp", n * 1000)).collect();
    let program = match_ports(&list.join(",").parse().unwrap());
    for n in 1..=12 {
        assert!(run(&program, &ipv4_packet(6, 0, 0, &to(n * 1000))));
        assert!(run(&program, &ipv6_packet(6, &to(n * 1000))));
        assert!(!run(&program, &ipv6_packet(17, &to(n * 1000))));
    }
}
