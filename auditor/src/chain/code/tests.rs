// SPDX-License-Identifier: Apache-2.0

//! Codes that are no runtime. What the real one gives, `tests/tests/runtime_code.rs` of the workspace compares.

use sp_maybe_compressed_blob::compress_weakly;

use super::*;

const LITTLE: Limits = Limits {
    steps: 100_000,
    memory: 1 << 20,
};

// Instructions.
const LOOP_FOR_EVER: &[u8] = &[0x03, 0x40, 0x0c, 0x00, 0x0b, 0x42, 0x00];
const GROW_BY_30_000_PAGES: &[u8] = &[0x41, 0xb0, 0xea, 0x01, 0x40, 0x00, 0x1a, 0x42, 0x00];
const FAIL: &[u8] = &[0x00];
/// From the first argument, which is where the heap begins, down to 0.
const COUNT_DOWN: &[u8] = &[
    0x03, 0x40, 0x20, 0x00, 0x41, 0x01, 0x6b, 0x22, 0x00, 0x0d, 0x00, 0x0b,
];
/// Each with both arguments.
const CALL_THE_NODE: &[u8] = &[0x20, 0x00, 0x20, 0x01, 0x10, 0x00];
const CALL_ITSELF: &[u8] = &[0x20, 0x00, 0x20, 0x01, 0x10, 0x01];

/// Where the modules below have what they answer.
const ANSWER: usize = 2_048;

/// A module of these sections: number and content.
fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (number, content) in sections {
        assert!(content.len() < 128, "its length is one byte");
        bytes.extend([*number, content.len() as u8]);
        bytes.extend(content);
    }
    bytes
}

/// Bytes behind their number.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8][..], bytes].concat()
}

fn import(name: &str, form: &[u8]) -> Vec<u8> {
    [&counted(b"env")[..], &counted(name.as_bytes()), form].concat()
}

/// A runtime whose only function does this, with some data in its memory.
fn runtime(does: &[u8], data: &[u8]) -> Vec<u8> {
    with_tables(0, does, data)
}

/// The same with so many tables, each of one function.
fn with_tables(tables: u8, does: &[u8], data: &[u8]) -> Vec<u8> {
    let imports = [
        vec![2],
        import("ext_storage_get_version_1", &[0x00, 0]),
        import("memory", &[0x02, 0x00, 1]),
    ];
    let exports = [
        vec![2],
        counted(METADATA_FUNCTION.as_bytes()),
        vec![0x00, 1],
        counted(b"__heap_base"),
        vec![0x03, 0],
    ];
    let body = [&[0_u8][..], does, &[0x0b]].concat();
    module(&[
        // A function of two i32 that gives an i64.
        (1, vec![1, 0x60, 2, 0x7f, 0x7f, 1, 0x7e]),
        (2, imports.concat()),
        (3, vec![1, 0]),
        (
            4,
            [&[tables][..], &[0x70_u8, 0x00, 1].repeat(tables.into())].concat(),
        ),
        // The heap begins at 4,096.
        (6, vec![1, 0x7f, 0x00, 0x41, 0x80, 0x20, 0x0b]),
        (7, exports.concat()),
        (10, [vec![1], counted(&body)].concat()),
        (
            11,
            [vec![1, 0x00, 0x41, 0x80, 0x10, 0x0b], counted(data)].concat(),
        ),
    ])
}

/// The instruction that leaves this number.
fn number(number: u64) -> Vec<u8> {
    let mut bytes = vec![0x42];
    let mut rest = number as i64;
    loop {
        let part = (rest & 0x7f) as u8;
        rest >>= 7;
        let sign = part & 0x40 != 0;
        if (rest == 0 && !sign) || (rest == -1 && sign) {
            bytes.push(part);
            return bytes;
        }
        bytes.push(part | 0x80);
    }
}

/// A runtime that answers these bytes, whatever it is asked.
fn answers(data: &[u8]) -> Vec<u8> {
    runtime(&number(place(data.len())), data)
}

/// What a function returns whose answer has this length.
fn place(length: usize) -> u64 {
    (length as u64) << 32 | ANSWER as u64
}

fn fault(code: &[u8]) -> CodeFault {
    let (metadata, _) = metadata_within(code, &LITTLE);
    metadata.expect_err("there is no metadata")
}

fn why(code: &[u8]) -> String {
    match fault(code) {
        CodeFault::Failed(why) => why,
        fault => panic!("{fault}"),
    }
}

#[test]
fn what_a_code_answers_is_read_whether_it_is_packed_or_not() {
    let metadata = vec![109, 101, 116, 97];
    let code = answers(&Some(metadata.clone()).encode());
    assert_eq!(metadata_within(&code, &LITTLE).0, Ok(metadata.clone()));
    let packed = compress_weakly(&code, CODE_BLOB_BOMB_LIMIT).expect("it is small");
    assert_ne!(packed, code);
    assert_eq!(metadata_within(&packed, &LITTLE).0, Ok(metadata));
    assert_eq!(
        fault(&packed[..packed.len() / 2]),
        CodeFault::NotUnpacked,
        "cut off"
    );
}

#[test]
fn an_answer_that_is_no_metadata_is_said() {
    assert_eq!(fault(&answers(&[0])), CodeFault::OtherVersions);
    assert_eq!(fault(&answers(&[])), CodeFault::NoAnswer);
    assert_eq!(fault(&answers(&[1, 40, 1, 2])), CodeFault::NoAnswer);
    let beyond = runtime(&number(4 << 32 | 0xffff_fff0), &[]);
    assert!(why(&beyond).contains("not in its memory"));
}

#[test]
fn an_answer_that_is_too_long_is_not_copied() {
    for length in [MOST_METADATA + 1, u32::MAX as usize] {
        let long = runtime(&number(place(length)), &[]);
        assert!(why(&long).contains("too long"), "{length}");
    }
}

#[test]
fn what_is_no_runtime_is_said() {
    for no_module in [&b""[..], b"\0asm", b"no module"] {
        assert!(matches!(fault(no_module), CodeFault::Failed(_)));
    }
    let code = answers(&[0]);
    assert!(matches!(
        fault(&code[..code.len() - 3]),
        CodeFault::Failed(_)
    ));
    assert!(why(&module(&[])).contains("heap"));
    // Its heap begins, and that is all.
    let heap = module(&[
        (6, vec![1, 0x7f, 0x00, 0x41, 0x80, 0x20, 0x0b]),
        (
            7,
            [&[1_u8][..], &counted(b"__heap_base"), &[0x03, 0]].concat(),
        ),
    ]);
    assert!(matches!(fault(&heap), CodeFault::Failed(_)));
    assert!(matches!(fault(&runtime(FAIL, &[])), CodeFault::Failed(_)));
}

#[test]
fn a_code_gets_nothing_of_a_node() {
    let why = why(&runtime(CALL_THE_NODE, &[]));
    assert!(why.contains("it calls ext_storage_get_version_1"), "{why}");
}

#[test]
fn a_code_that_does_not_end_is_ended() {
    assert_eq!(fault(&runtime(LOOP_FOR_EVER, &[])), CodeFault::Endless);
    let deep = fault(&runtime(CALL_ITSELF, &[]));
    assert!(matches!(deep, CodeFault::Failed(_) | CodeFault::Endless));
}

#[test]
fn a_code_gets_so_much_memory_and_no_more() {
    let grows = runtime(GROW_BY_30_000_PAGES, &[]);
    assert_eq!(fault(&grows), CodeFault::TooMuchMemory);
    let begins_large = module(&[(2, [vec![1], import("memory", &[0x02, 0x00, 60])].concat())]);
    assert_eq!(fault(&begins_large), CodeFault::TooMuchMemory);
}

#[test]
fn a_code_gets_one_table_as_runtimes_have() {
    let answer = Some(vec![109_u8, 101, 116, 97]).encode();
    let does = number(place(answer.len()));
    let one = with_tables(1, &does, &answer);
    assert!(metadata_within(&one, &LITTLE).0.is_ok());
    let why = why(&with_tables(2, &does, &answer));
    assert!(why.contains("too many tables"), "{why}");
}

#[test]
fn the_steps_of_a_code_are_for_all_versions_that_it_is_asked_for() {
    let none = [COUNT_DOWN, &number(place(1))].concat();
    let none = runtime(&none, &[0]);
    let (metadata, taken) = metadata_within(&none, &LITTLE);
    assert_eq!(metadata, Err(CodeFault::OtherVersions));
    assert!(taken > 2 * 4_096, "{taken}");
    let less = Limits {
        steps: taken - 1,
        ..LITTLE
    };
    assert_eq!(metadata_within(&none, &less).0, Err(CodeFault::Endless));
}

#[test]
fn the_codes_of_an_audit_have_so_many_steps_together() {
    let (_, taken) = metadata_within(&runtime(LOOP_FOR_EVER, &[]), &LITTLE);
    assert!((LITTLE.steps / 2..=LITTLE.steps).contains(&taken));
    let code = answers(&Some(vec![109_u8, 101, 116, 97]).encode());
    let mut left = StepsLeft(2 * LEAST_STEPS);
    assert!(left.metadata_of(&code).is_ok());
    assert!(left.metadata_of(&runtime(FAIL, &[])).is_err());
    assert_eq!(left.metadata_of(&code), Err(CodeFault::NoStepsLeft));
}
