//! The same inputs give the same effects.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::model::{Scene, scene};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_same_inputs_give_the_same_effects(scene in scene()) {
        let run = |scene: &Scene| -> Vec<String> {
            let mut play = scene.play();
            while play.step() {}
            let log = play.world.log.iter().map(|txn| format!("{txn:?}"));
            log.chain(play.all.iter().map(|effect| format!("{effect:?}"))).collect()
        };
        prop_assert_eq!(run(&scene), run(&scene));
    }
}
