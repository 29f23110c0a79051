//! Whatever happens, the tree is what a plain map says it is: after every transaction, in views
//! taken before others, when saved and loaded, and when a fuzzy snapshot is replayed.

use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use zk_proto::{
    Acl, OpCode, SessionId, SnapshotNode, SnapshotSession, Txn, TxnDigest, TxnHeader, TxnRecord,
    Zxid,
};

use super::model::{Action, Model, ModelNode, actions, header};
use crate::tree::{Loader, Replay, Tree, TreeOptions, TreeView};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    hash_seed: 99,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn after_every_transaction_the_tree_is_what_the_map_says(actions in actions()) {
        let (mut tree, mut model) = (Tree::new(OPTIONS), Model::new());
        for action in &actions {
            if let Some((header, txn)) = next(&model, action, true) {
                tree.apply(&header, &txn);
                model.apply(&header, &txn);
                model.assert_is(&tree);
            }
        }
    }

    #[test]
    fn a_view_stays_what_the_tree_was_while_writes_go_on(
        actions in actions(),
        moments in proptest::collection::vec(any::<bool>(), 80),
    ) {
        let (mut tree, mut model) = (Tree::new(OPTIONS), Model::new());
        let mut views = Vec::new();
        for (action, view_now) in actions.iter().zip(moments) {
            if view_now {
                views.push((tree.view(), model.clone()));
            }
            if let Some((header, txn)) = next(&model, action, true) {
                tree.apply(&header, &txn);
                model.apply(&header, &txn);
            }
        }
        for (view, model) in views {
            let shown = shown_by(&view);
            prop_assert_eq!((shown.nodes, shown.zxid), (model.nodes, model.zxid));
        }
    }

    #[test]
    fn a_view_that_is_loaded_gives_an_equal_tree(actions in actions()) {
        let (mut tree, mut model) = (Tree::new(OPTIONS), Model::new());
        for action in &actions {
            if let Some((header, txn)) = next(&model, action, false) {
                tree.apply(&header, &txn);
                model.apply(&header, &txn);
            }
        }
        let view = tree.view();
        let mut loader = Loader::new(OPTIONS);
        for session in tree.sessions_with_ephemerals() {
            loader.session(SnapshotSession { id: session, timeout_ms: 1 });
        }
        for (number, list) in view.acls() {
            prop_assert!(number > 0);
            loader.acl(number, list);
        }
        let mut walk = view.nodes();
        while let Some(node) = walk.next_node() {
            loader.node(&node).unwrap();
        }
        let loaded = loader.finish_snapshot(view.zxid(), None).unwrap().finish();
        model.assert_is(&loaded.tree);
        prop_assert_eq!(loaded.nodes_without_acl, 0);
        let children = |tree: &Tree| -> Vec<Vec<String>> {
            let paths = model.nodes.keys();
            paths.map(|path| tree.get(path).unwrap().children().map(Into::into).collect()).collect()
        };
        prop_assert_eq!(children(&tree), children(&loaded.tree));
    }

    #[test]
    fn a_fuzzy_snapshot_and_the_log_after_it_give_an_equal_tree(
        before in actions(),
        during in actions(),
        after in actions(),
        pace in proptest::collection::vec(0..6_usize, 1..20),
    ) {
        let mut world = World::new();
        for action in &before {
            world.step(action);
        }
        let replay = world.save_and_load(&during, &pace);
        for action in &after {
            world.step(action);
        }
        let recovered = world.finish(replay);
        world.model.assert_is(&recovered.tree);
        prop_assert_eq!(recovered.nodes_without_acl, 0);
        prop_assert_eq!(recovered.first_digest_mismatch, None);
    }
}

/// A multi of which the first parts were applied.
type HalfDone = (TxnHeader, Vec<(OpCode, Txn)>, usize);

/// A tree, its map and its log.
struct World {
    tree: Tree,
    model: Model,
    log: Vec<TxnRecord>,
}

impl World {
    fn new() -> Self {
        Self {
            tree: Tree::new(OPTIONS),
            model: Model::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self, action: &Action) {
        if let Some((header, txn)) = next(&self.model, action, false) {
            self.tree.apply(&header, &txn);
            self.finish_step(header, txn);
        }
    }

    fn finish_step(&mut self, header: TxnHeader, txn: Txn) {
        self.model.apply(&header, &txn);
        let digest = Some(self.digest());
        self.log.push(TxnRecord {
            header,
            txn,
            digest,
        });
    }

    fn digest(&self) -> TxnDigest {
        TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: self.tree.digest(),
        }
    }

    /// Saves as Apache's server does while it serves: first the ACLs, then node by node, each with
    /// the list of its children as of that moment, and parts of `during` between any two nodes, down
    /// to the parts of a multi.
    fn save_and_load(&mut self, during: &[Action], pace: &[usize]) -> Replay {
        let start = self.tree.last_zxid();
        let mut loader = Loader::new(OPTIONS);
        for id in 1..1_000 {
            let (id, timeout_ms) = (SessionId(id), 1);
            loader.session(SnapshotSession { id, timeout_ms });
        }
        for (number, list) in self.tree.view().acls() {
            loader.acl(number, list);
        }
        let mut during = during.iter();
        let mut pace = pace.iter().cycle();
        let mut half_done = None;
        let mut waiting = Vec::from([String::new()]);
        while let Some(path) = waiting.pop() {
            for _ in 0..*pace.next().unwrap() {
                self.half_step(&mut half_done, &mut during);
            }
            let Some(node) = self.tree.get(&path) else {
                continue;
            };
            let children: Vec<&str> = node.children().collect();
            waiting.extend(
                children
                    .iter()
                    .rev()
                    .map(|name| alloc::format!("{path}/{name}")),
            );
            let stat = node.persisted();
            let acl = self.tree.nodes.get(self.tree.find(&path).unwrap()).acl;
            let node = SnapshotNode {
                path: &path,
                data: node.data(),
                acl: acl.to_snapshot(),
                stat,
            };
            loader.node(&node).unwrap();
        }
        while half_done.is_some() {
            self.half_step(&mut half_done, &mut core::iter::empty());
        }
        let digest = (self.tree.last_zxid(), self.digest());
        loader.finish_snapshot(start, Some(digest)).unwrap()
    }

    /// Does the next part of a multi that was begun, or begins with the next action.
    fn half_step<'a>(
        &mut self,
        half_done: &mut Option<HalfDone>,
        during: &mut impl Iterator<Item = &'a Action>,
    ) {
        if let Some((header, parts, done)) = half_done {
            if let Some((_, part)) = parts.get(*done) {
                self.tree.process_one(header, part, &mut None);
                *done += 1;
                return;
            }
            let (header, parts, _) = half_done.take().unwrap();
            self.tree.last_zxid = header.zxid;
            self.finish_step(header, Txn::Multi(parts));
        } else if let Some(action) = during.next() {
            match next(&self.model, action, false) {
                Some((header, Txn::Multi(parts))) if is_done(&parts) => {
                    *half_done = Some((header, parts, 0));
                }
                Some(_) => self.step(action),
                None => {}
            }
        }
    }

    fn finish(&self, mut replay: Replay) -> crate::tree::Recovered {
        for record in &self.log {
            replay.replay(record).unwrap();
        }
        replay.finish()
    }
}

fn is_done(parts: &[(OpCode, Txn)]) -> bool {
    !parts.iter().any(|(op, _)| *op == OpCode::ERROR)
}

fn next(model: &Model, action: &Action, quotas: bool) -> Option<(TxnHeader, Txn)> {
    let (session, op, txn) = model.txn(action, quotas)?;
    Some((header(model.zxid + 1, session, op), txn))
}

fn shown_by(view: &TreeView) -> Model {
    let lists: Vec<(i64, Vec<Acl>)> = view
        .acls()
        .map(|(number, list)| (number, list.into()))
        .collect();
    let mut model = Model::new();
    model.nodes.clear();
    model.zxid = view.zxid().0;
    let mut walk = view.nodes();
    while let Some(node) = walk.next_node() {
        let acl = if node.acl == -1 {
            [Acl::open()].into()
        } else {
            let list = lists.iter().find(|(number, _)| *number == node.acl);
            list.unwrap().1.clone()
        };
        let parent = node.path.rsplit_once('/').map(|(parent, _)| parent);
        assert!(parent.is_none_or(|parent| model.nodes.contains_key(parent)));
        let data = node.data.map(Into::into);
        let stat = node.stat;
        model
            .nodes
            .insert(node.path.into(), ModelNode { data, acl, stat });
    }
    assert_eq!(view.node_count(), model.nodes.len());
    assert_eq!(Zxid(model.zxid), view.zxid());
    model
}
