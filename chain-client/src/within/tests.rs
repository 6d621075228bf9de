// SPDX-License-Identifier: Apache-2.0

use codec::{Compact, Encode};
use scale_info::{MetaType, Registry, TypeInfo};

use super::*;

/// A runtime's calls, with everything between them that metadata can have.
#[derive(Encode, TypeInfo)]
enum Call {
    #[codec(index = 3)]
    Leaf(u8),
    #[codec(index = 7)]
    Boxed { call: Box<Call>, note: String },
    #[codec(index = 8)]
    Many(Compact<u64>, Vec<Call>, [u16; 3]),
    #[codec(index = 9)]
    Maybe(Option<Box<Call>>, Option<u32>),
    #[codec(index = 11)]
    Deep(Vec<(Step, Result<Inner, ()>)>, bool),
}

#[derive(Clone, Copy, Encode, TypeInfo)]
enum Step {
    Now,
    Later,
}

#[derive(Encode, TypeInfo)]
struct Inner {
    before: [(u8, Vec<u32>); 2],
    nothing: Vec<()>,
    calls: [Box<Call>; 2],
}

/// The leaves that are found, each with its depth.
fn leaves(bytes: &[u8]) -> Result<Vec<(usize, u8)>, NotFound> {
    let mut registry = Registry::new();
    let call = registry.register_type(&MetaType::new::<Call>()).id;
    let types = registry.into();
    let mut leaves = Vec::new();
    each_call(&types, call, bytes, |depth, call| {
        if let [3, leaf, ..] = call {
            leaves.push((depth, *leaf));
        }
        Ok::<_, NotFound>(())
    })?;
    Ok(leaves)
}

fn boxed(call: Call) -> Call {
    Call::Boxed {
        call: Box::new(call),
        note: "why".into(),
    }
}

#[test]
fn a_call_is_found_wherever_a_type_can_hold_it() {
    let inner = || Inner {
        before: [(1, vec![2, 3]), (3, vec![])],
        nothing: vec![(); 9],
        calls: [Box::new(Call::Leaf(30)), Box::new(boxed(Call::Leaf(31)))],
    };
    let calls = [
        (Call::Leaf(1), vec![(0, 1)]),
        (boxed(Call::Leaf(2)), vec![(1, 2)]),
        (boxed(boxed(Call::Leaf(3))), vec![(2, 3)]),
        (
            Call::Many(
                Compact(u64::MAX),
                vec![Call::Leaf(3), boxed(Call::Leaf(3)), Call::Leaf(4)],
                [3; 3],
            ),
            vec![(1, 3), (2, 3), (1, 4)],
        ),
        (Call::Many(Compact(1), vec![], [3; 3]), vec![]),
        (Call::Maybe(None, Some(3)), vec![]),
        (
            Call::Maybe(Some(Box::new(Call::Leaf(5))), None),
            vec![(1, 5)],
        ),
        (
            Call::Deep(
                vec![
                    (Step::Now, Ok(inner())),
                    (Step::Later, Err(())),
                    (Step::Later, Ok(inner())),
                ],
                true,
            ),
            vec![(1, 30), (2, 31), (1, 30), (2, 31)],
        ),
    ];
    for (call, found) in calls {
        // Whatever follows the call is not looked at.
        let bytes = [call.encode(), vec![3, 99]].concat();
        assert_eq!(leaves(&bytes), Ok(found));
    }
}

#[test]
fn calls_may_lie_so_deep_and_not_deeper() {
    let nested = |depth: usize| [[7].repeat(depth), vec![3, 42], [0].repeat(depth)].concat();
    let deepest = MAX_DEPTH - 1;
    assert_eq!(leaves(&nested(deepest)), Ok(vec![(deepest, 42)]));
    assert_eq!(leaves(&nested(deepest + 1)), Err(NotFound::TooDeep));
    assert_eq!(leaves(&[7].repeat(1 << 20)), Err(NotFound::TooDeep));
}

#[test]
fn what_is_no_call_is_refused_and_takes_no_more_time_than_it_has_bytes() {
    let bytes = boxed(Call::Many(Compact(9), vec![Call::Leaf(3)], [3; 3])).encode();
    for end in 0..bytes.len() {
        assert_eq!(leaves(&bytes[..end]), Err(NotFound::Encoding), "{end}");
    }
    assert_eq!(leaves(&[4]), Err(NotFound::Encoding));
    // Vectors that say they are longer than anything.
    for length in [Compact(u32::MAX).encode(), vec![0xff; 17]] {
        let many = [vec![8, 0], length].concat();
        assert_eq!(leaves(&many), Err(NotFound::Encoding));
    }
}
