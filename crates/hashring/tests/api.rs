//! What holds of the types themselves.

use std::borrow::Cow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::Arc;

use hashring::{
    Builder, CombineError, DecodeError, Fingerprint, HashRing, Member, NodeMove, NodeSpec, Owners,
    PartitionMove, PartitionTable, Placement, Plan, Point, RangeMove, ReplicaMove, ReplicaSet, Replicas,
    RestoreError, RingError, RingNode, Snapshot, Transition,
};

fn goes_anywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

#[test]
fn everything_is_shared_between_threads_when_nodes_are() {
    goes_anywhere::<(HashRing<String>, Builder<String>, NodeSpec<String>, Snapshot<String>)>();
    goes_anywhere::<(PartitionTable<String>, Plan<String>, Transition<String>)>();
    goes_anywhere::<(Replicas<'_, String>, ReplicaSet<'_, String>, ReplicaMove<'_, String>)>();
    goes_anywhere::<(RingError, CombineError<String>, DecodeError, RestoreError, Placement)>();
}

fn is_copied<T: Copy>() {}

#[test]
fn what_tells_of_nodes_is_copied_whatever_they_are() {
    is_copied::<(Member<'_, String>, Point<'_, String>, RangeMove<'_, String>)>();
    is_copied::<(NodeMove<'_, String>, PartitionMove<'_, String>, Owners<'_, String>)>();
}

fn fingerprint<N: RingNode>(nodes: [N; 2]) -> Fingerprint {
    HashRing::from_nodes(nodes).expect("within the limits").fingerprint()
}

#[test]
fn nodes_of_the_same_bytes_lie_alike_whatever_their_type() {
    let expected = fingerprint(["ash", "elm"]);
    assert_eq!(fingerprint(["ash", "elm"].map(String::from)), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(Box::<str>::from)), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(Rc::<str>::from)), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(Arc::<str>::from)), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(Cow::from)), expected);
    assert_eq!(fingerprint([*b"ash", *b"elm"]), expected);
    assert_eq!(fingerprint([&b"ash"[..], &b"elm"[..]]), expected);
    assert_eq!(fingerprint([b"ash".to_vec(), b"elm".to_vec()]), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(|id| Box::<[u8]>::from(id.as_bytes()))), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(|id| Rc::<[u8]>::from(id.as_bytes()))), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(|id| Arc::<[u8]>::from(id.as_bytes()))), expected);
    assert_eq!(fingerprint(["ash", "elm"].map(|id| Rc::new(Arc::new(Box::new(id))))), expected);
    assert_eq!(fingerprint([&"ash".to_owned(), &"elm".to_owned()]), expected);

    assert_eq!(fingerprint([1_u8, 2]), fingerprint([[1], [2]]));
    assert_eq!(fingerprint([1_u16, 2]), fingerprint([[0, 1], [0, 2]]));
    assert_eq!(fingerprint([1_u32, 2]), fingerprint([1_u32.to_be_bytes(), 2_u32.to_be_bytes()]));
    assert_eq!(fingerprint([1_u64, 2]), fingerprint([1_u64.to_be_bytes(), 2_u64.to_be_bytes()]));
    assert_eq!(fingerprint([1_u128, 2]), fingerprint([1_u128.to_be_bytes(), 2_u128.to_be_bytes()]));
    assert_ne!(fingerprint([1_u32, 2]), fingerprint([1_u64, 2]));
}
