//! How writes come out.

use std::collections::BTreeMap;
use std::rc::Rc;

use zk_proto::{
    Create, EphemeralOwner, ErrorCode, MultiOp, MultiResult, OpCode, Perms, Request, Response,
    SessionId, Zxid,
};

use super::{CONTAINER, Change, ChangeKind, History, Model, State, name_of, parent_of};

/// Changes on top of a model, taken over as a whole or not at all.
struct Draft<'a> {
    model: &'a Model,
    extended_types: bool,
    zxid: Zxid,
    time_ms: i64,
    session: SessionId,
    states: BTreeMap<String, Option<State>>,
    /// Which children came and went: path of the parent, and name.
    moves: Vec<(bool, String, String)>,
    changes: Vec<Change>,
}

/// What a draft leaves.
struct Drafted {
    states: BTreeMap<String, Option<State>>,
    moves: Vec<(bool, String, String)>,
    changes: Vec<Change>,
}

/// Where and when a write takes place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) zxid: Zxid,
    pub(crate) time_ms: i64,
    pub(crate) session: SessionId,
    pub(crate) extended_types: bool,
}

impl Model {
    /// The answer to a write as the next transaction, which is made.
    ///
    /// # Panics
    /// When the request is no write that clients of this world make.
    pub(crate) fn write(&mut self, request: &Request, place: Place) -> Result<Response, ErrorCode> {
        if !self.sessions.contains_key(&place.session) {
            return Err(ErrorCode::SESSION_EXPIRED);
        }
        let mut draft = Draft::new(self, place);
        let response = draft.request(request);
        let drafted = draft.end();
        if response.is_ok() {
            self.take(place, drafted);
        }
        response
    }

    /// A session ends, as the next transaction. What it owned goes; gives the paths.
    pub(crate) fn close_session(&mut self, place: Place) -> Vec<String> {
        self.sessions.remove(&place.session);
        let owned: Vec<String> = (self.ephemerals.remove(&place.session))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut draft = Draft::new(self, place);
        for path in &owned {
            draft.remove(path);
        }
        let drafted = draft.end();
        self.take(place, drafted);
        owned
    }

    /// The server deletes a container, or a znode whose time is over.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(crate) fn reap(&mut self, path: &str, place: Place) -> Result<(), &'static str> {
        let state = self.now(path).ok_or("it is not there")?;
        match EphemeralOwner::from_raw(state.owner, place.extended_types) {
            EphemeralOwner::Container => {}
            EphemeralOwner::Ttl(ttl_ms) if place.time_ms - state.mtime > ttl_ms => {}
            EphemeralOwner::Ttl(_) => return Err("its time is not over"),
            _ => return Err("it is for good, or of a session"),
        }
        if state.children > 0 {
            return Err("it has children");
        }
        let mut draft = Draft::new(self, place);
        draft.remove(path);
        let drafted = draft.end();
        self.take(place, drafted);
        Ok(())
    }

    fn take(&mut self, place: Place, drafted: Drafted) {
        let zxid = place.zxid;
        for (path, state) in drafted.states {
            let owner_of = |state: &State| {
                let is_ephemeral = state.is_ephemeral(place.extended_types);
                is_ephemeral.then_some(SessionId(state.owner))
            };
            if let Some(owner) = self.now(&path).and_then(owner_of)
                && let Some(owned) = self.ephemerals.get_mut(&owner)
            {
                owned.remove(&path);
            }
            if let Some(owner) = state.as_ref().and_then(owner_of) {
                self.ephemerals
                    .entry(owner)
                    .or_default()
                    .insert(path.clone());
            }
            let history = self.nodes.entry(path).or_default();
            history.states.push((zxid, state));
        }
        for (came, parent, name) in drafted.moves {
            let history: &mut History = self.nodes.entry(parent).or_default();
            match came {
                true => history.children.insert(name.clone()),
                false => history.children.remove(&name),
            };
            history.moves.push((zxid, came, name));
        }
        self.changes.extend(drafted.changes);
    }
}

impl<'a> Draft<'a> {
    fn new(model: &'a Model, place: Place) -> Self {
        Self {
            model,
            extended_types: place.extended_types,
            zxid: place.zxid,
            time_ms: place.time_ms,
            session: place.session,
            states: BTreeMap::new(),
            moves: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn end(self) -> Drafted {
        Drafted {
            states: self.states,
            moves: self.moves,
            changes: self.changes,
        }
    }

    fn get(&self, path: &str) -> Result<&State, ErrorCode> {
        let state = match self.states.get(path) {
            Some(state) => state.as_ref(),
            None => self.model.now(path),
        };
        state.ok_or(ErrorCode::NO_NODE)
    }

    /// The znode, to be changed.
    fn change(&mut self, path: &str, change: impl FnOnce(&mut State)) {
        let mut state = self.get(path).expect("it is there").clone();
        change(&mut state);
        self.states.insert(path.to_owned(), Some(state));
    }

    fn note(&mut self, kind: ChangeKind, path: &str) {
        let is_readable = |path: &str| self.get(path).is_ok_and(|it| it.permits(Perms::READ));
        let change = Change {
            zxid: self.zxid,
            kind,
            path: path.to_owned(),
            is_readable: is_readable(path),
            is_parent_readable: is_readable(parent_of(path)),
        };
        self.changes.push(change);
    }

    fn request(&mut self, request: &Request) -> Result<Response, ErrorCode> {
        match request {
            Request::Create(create) => {
                let path = self.create(create)?;
                if create.op == OpCode::CREATE {
                    return Ok(Response::Path(path));
                }
                let stat = self.get(&path)?.stat();
                Ok(Response::PathAndStat(path, stat))
            }
            Request::Delete { path, version } => {
                self.delete(path, *version)?;
                Ok(Response::Empty)
            }
            Request::SetData {
                path,
                data,
                version,
            } => {
                self.set_data(path, data.as_ref(), *version)?;
                Ok(Response::Stat(self.get(path)?.stat()))
            }
            Request::SetAcl { path, acl, version } => {
                let state = self.get(path)?;
                permit(state, Perms::ADMIN)?;
                fits(state.aversion, *version)?;
                let acl: Rc<[_]> = acl.as_slice().into();
                self.change(path, |state| {
                    state.acl = acl;
                    state.aversion += 1;
                });
                Ok(Response::Stat(self.get(path)?.stat()))
            }
            Request::Multi(ops) => Ok(Response::Multi(self.multi(ops))),
            other => panic!("{} is no write of this world", other.op()),
        }
    }

    fn multi(&mut self, ops: &[MultiOp]) -> Vec<MultiResult> {
        let mut results = Vec::new();
        for op in ops {
            match self.op(op) {
                Ok(result) => results.push(result),
                Err(code) => {
                    self.states.clear();
                    self.moves.clear();
                    self.changes.clear();
                    let error = MultiResult::Error;
                    let mut refused = vec![error(ErrorCode::OK); results.len()];
                    refused.push(error(code));
                    refused.resize(ops.len(), error(ErrorCode::RUNTIME_INCONSISTENCY));
                    return refused;
                }
            }
        }
        results
    }

    fn op(&mut self, op: &MultiOp) -> Result<MultiResult, ErrorCode> {
        Ok(match op {
            MultiOp::Create(create) => {
                // Which of create and create2 was asked for is not kept in the transaction.
                MultiResult::Create(self.create(create)?)
            }
            MultiOp::Delete { path, version } => {
                self.delete(path, *version)?;
                MultiResult::Delete
            }
            MultiOp::SetData {
                path,
                data,
                version,
            } => {
                self.set_data(path, data.as_ref(), *version)?;
                MultiResult::SetData(self.get(path)?.stat())
            }
            MultiOp::Check { path, version } => {
                let state = self.get(path)?;
                permit(state, Perms::READ)?;
                fits(state.version, *version)?;
                MultiResult::Check
            }
        })
    }

    fn create(&mut self, create: &Create) -> Result<String, ErrorCode> {
        let mode = create.mode().ok_or(ErrorCode::BAD_ARGUMENTS)?;
        let parent_path = parent_of(&create.path);
        let parent = self.get(parent_path)?;
        permit(parent, Perms::CREATE)?;
        let path = match mode.is_sequential() {
            true => format!("{}{:010}", create.path, parent.creations),
            false => create.path.clone(),
        };
        let has_ephemeral_parent = parent.is_ephemeral(self.extended_types);
        if self.get(&path).is_ok() {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if has_ephemeral_parent {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let owner = match create.op {
            OpCode::CREATE_CONTAINER => CONTAINER,
            OpCode::CREATE_TTL => EphemeralOwner::Ttl(create.ttl_ms).to_raw(),
            _ if mode.is_ephemeral() => self.session.0,
            _ => 0,
        };
        let zxid = self.zxid;
        self.change(parent_path, |parent| {
            parent.children += 1;
            parent.creations += 1;
            parent.pzxid = zxid;
        });
        let acl: Rc<[_]> = create.acl.as_slice().into();
        let state = State::new(zxid, self.time_ms, owner, create.data.clone(), acl);
        self.states.insert(path.clone(), Some(state));
        let name = name_of(&path).to_owned();
        self.moves.push((true, parent_path.to_owned(), name));
        self.note(ChangeKind::Created, &path);
        Ok(path)
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<(), ErrorCode> {
        permit(self.get(parent_of(path))?, Perms::DELETE)?;
        let state = self.get(path)?;
        fits(state.version, version)?;
        if state.children > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        self.remove(path);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.note(ChangeKind::Deleted, path);
        let zxid = self.zxid;
        let parent_path = parent_of(path);
        self.change(parent_path, |parent| {
            parent.children -= 1;
            parent.pzxid = zxid;
        });
        self.states.insert(path.to_owned(), None);
        let name = name_of(path).to_owned();
        self.moves.push((false, parent_path.to_owned(), name));
    }

    fn set_data(
        &mut self,
        path: &str,
        data: Option<&bytes::Bytes>,
        version: i32,
    ) -> Result<(), ErrorCode> {
        let state = self.get(path)?;
        permit(state, Perms::WRITE)?;
        fits(state.version, version)?;
        let (zxid, time_ms) = (self.zxid, self.time_ms);
        self.change(path, |state| {
            state.data = data.cloned();
            state.version += 1;
            state.mzxid = zxid;
            state.mtime = time_ms;
        });
        self.note(ChangeKind::DataChanged, path);
        Ok(())
    }
}

fn permit(state: &State, perms: Perms) -> Result<(), ErrorCode> {
    match state.permits(perms) {
        true => Ok(()),
        false => Err(ErrorCode::NO_AUTH),
    }
}

fn fits(present: i32, expected: i32) -> Result<(), ErrorCode> {
    match expected == -1 || expected == present {
        true => Ok(()),
        false => Err(ErrorCode::BAD_VERSION),
    }
}
