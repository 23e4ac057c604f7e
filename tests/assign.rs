//! States that a plan updates in place.

use equilens::error::Error;
use equilens::gpu::{Gpu, Selection};
use equilens::shape::Shape;
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, reference};
use std::collections::HashMap;

fn store() -> Store {
    Store::new(&Gpu::open(&Selection::default()).expect("an adapter"))
}

#[test]
fn states_carry_values_from_replay_to_replay() {
    let store = store();
    let shape = Shape::vector(100);
    let mut tape = Tape::new();
    let (a, b) = (tape.state("a", shape), tape.state("b", shape));
    // Fibonacci, through a swap and a view: (a, b) <- (b, a + b).
    let sum = tape.add(a, b).expect("fits");
    let view = tape.reshape(b, Shape::new(1, 10, 10, 1)).expect("fits");
    let view = tape.reshape(view, shape).expect("fits");
    let a_new = tape.assign(a, view).expect("a state");
    let b_new = tape.assign(b, sum).expect("a state");
    let double = tape.scale(b_new, 2.0);
    let outputs = [a_new, b_new, double];
    let plan = Plan::compile(&tape, &outputs, &store, Options::default()).expect("compiles");
    store.write("b", shape, &[1.0; 100]).expect("fits");
    for _ in 0..10 {
        plan.submit();
    }
    assert_eq!(store.read("a").expect("exists"), [55.0; 100]);
    assert_eq!(plan.read(b_new).expect("an output"), [89.0; 100]);
    assert_eq!(plan.read(double).expect("an output"), [178.0; 100]);
    // The host's evaluation does the same.
    let mut feeds = HashMap::from([("a".into(), vec![0.0; 100]), ("b".into(), vec![1.0; 100])]);
    for _ in 0..10 {
        reference::evaluate(&tape, &mut feeds, &outputs).expect("evaluates");
    }
    assert_eq!((feeds["a"][99], feeds["b"][99]), (55.0, 89.0));
}

#[test]
fn assignments_that_would_be_ambiguous_are_refused() {
    let store = store();
    let shape = Shape::vector(4);
    let mut tape = Tape::new();
    let a = tape.state("a", shape);
    let x = tape.input("x", shape);
    assert!(tape.assign(x, a).is_err(), "x is no state");
    let scalar = tape.scalar(1.0);
    assert!(tape.assign(a, scalar).is_err(), "shapes differ");
    let view = tape.reshape(a, Shape::new(4, 1, 1, 1)).expect("fits");
    let new = tape.assign(a, x).expect("a state");
    let fine = tape.scale(new, 2.0);
    for old in [a, view] {
        let mut tape = tape.clone();
        let late = tape.scale(old, 2.0);
        let compile = |v| Plan::compile(&tape, &[new, v], &store, Options::default());
        let error = compile(late).err().expect("refused");
        assert!(
            error.to_string().contains("'a' after it was updated"),
            "{error}"
        );
        assert!(compile(fine).is_ok());
    }
    let gradient = tape
        .sum_all(new)
        .and_then(|loss| tape.gradients(loss, &[x]));
    assert!(matches!(gradient, Err(Error::NoGradient { op: "assign" })));
}
