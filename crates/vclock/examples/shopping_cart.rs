//! A shopping cart on two replicas: concurrent edits, siblings, and reconciling them.
//!
//! `cargo run -p clusterluck-vclock --example shopping_cart`

use std::collections::BTreeSet;
use std::error::Error;

use vclock::{DvvSet, VClock};

type Cart = BTreeSet<&'static str>;
type Replica = DvvSet<&'static str, Cart>;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut berlin, mut lisbon) = (Replica::new(), Replica::new());

    // A first write, and both replicas have it.
    berlin.write(&VClock::new(), Cart::from(["bread"]), "berlin")?;
    lisbon.sync(&berlin)?;
    let late = berlin.clone();
    show("bread is bought", &berlin, &lisbon);

    // A phone and a laptop read the same cart, each from the replica next to it, and both change it.
    let read = berlin.context().clone();
    berlin.write(&read, Cart::from(["bread", "apples"]), "berlin")?;
    lisbon.write(&read, Cart::from(["bread", "wine"]), "lisbon")?;
    // A tablet still shows the empty cart, and its write reaches the same replica as the phone's.
    berlin.write(&VClock::new(), Cart::from(["cheese"]), "berlin")?;
    show("three devices change it at once", &berlin, &lisbon);

    // Whole sets are exchanged, in any order and as often as one likes. No write is lost, since none of the
    // three writers had seen another's; the bread alone is gone, which two of them had seen.
    lisbon.sync(&berlin)?;
    berlin.sync(&lisbon)?;
    assert_eq!(berlin, lisbon);
    assert_eq!(berlin.values().len(), 3);
    show("the replicas exchange what they have", &berlin, &lisbon);

    // What siblings mean is for the application to say: a cart is the union of them. The result is one more
    // write, having read them all, so it replaces them wherever it arrives.
    let dot = lisbon.next_dot("lisbon")?;
    lisbon.reconcile(dot, |carts| carts.flatten().copied().collect())?;
    berlin.sync(&lisbon)?;
    assert_eq!(berlin.values().collect::<Vec<_>>(), [&Cart::from(["apples", "bread", "cheese", "wine"])]);
    show("lisbon reconciles them", &berlin, &lisbon);

    // A copy of the first state arrives late: its bread was seen and replaced, so it does not come back.
    assert!(!berlin.sync(&late)?);
    Ok(())
}

fn show(event: &str, berlin: &Replica, lisbon: &Replica) {
    println!("{event}");
    for (name, replica) in [("berlin", berlin), ("lisbon", lisbon)] {
        println!("  {name} has seen {:?}", replica.context());
        for (dot, cart) in replica.siblings() {
            println!("    {} {}: {cart:?}", dot.actor, dot.counter());
        }
    }
}
