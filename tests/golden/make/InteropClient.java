import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * Apache ZooKeeper's own Java client, driven line by line.
 *
 * <p>Every line on standard input is one command: words separated by single blanks, percent-encoded
 * where a word contains blanks or is not ASCII. Every command answers with exactly one line of JSON
 * on standard output: {@code {"ok":...}} or {@code {"error":"NONODE","code":-101}}. README.md lists
 * the commands. One process holds any number of named sessions.
 */
public final class InteropClient {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final Map<String, Session> SESSIONS = new LinkedHashMap<>();

    /** A named watcher that remembers what it was told. */
    private static final class Recorder implements Watcher {
        private final List<String> events = new ArrayList<>();

        @Override
        public synchronized void process(WatchedEvent event) {
            events.add("{\"type\":\"" + event.getType() + "\",\"state\":\"" + event.getState()
                + "\",\"path\":" + quote(event.getPath()) + "}");
        }

        synchronized String drain() {
            String all = "[" + String.join(",", events) + "]";
            events.clear();
            return all;
        }
    }

    /** One client session with its default watcher and its named ones. */
    private static final class Session {
        private final Recorder recorder = new Recorder();
        private final Map<String, Recorder> watchers = new LinkedHashMap<>();
        private final CountDownLatch settled = new CountDownLatch(1);
        private ZooKeeper zk;

        Watcher watcher(String name) {
            return watchers.computeIfAbsent(name, key -> new Recorder());
        }
    }

    /** The words of one command, taken in order. */
    private static final class Words {
        private final String[] words;
        private int next;

        Words(String line) {
            words = line.split(" ", -1);
        }

        boolean more() {
            return next < words.length;
        }

        String raw() {
            if (!more()) {
                throw new IllegalArgumentException("missing word " + next);
            }
            return words[next++];
        }

        String word() {
            return URLDecoder.decode(raw().replace("+", "%2B"), StandardCharsets.UTF_8);
        }

        int number() {
            return Integer.decode(raw());
        }

        /** {@code null}, {@code hex:...}, or text after {@code text:}. */
        byte[] data() {
            String word = word();
            if (word.equals("null")) {
                return null;
            }
            if (word.startsWith("hex:")) {
                return unhex(word.substring(4));
            }
            return word.substring("text:".length()).getBytes(StandardCharsets.UTF_8);
        }

        /** {@code scheme:id:perms} joined by commas, {@code open}, {@code null}, or {@code empty}. */
        List<ACL> acl() {
            String word = word();
            if (word.equals("null")) {
                return null;
            }
            if (word.equals("empty")) {
                return Collections.emptyList();
            }
            List<ACL> acl = new ArrayList<>();
            for (String entry : (word.equals("open") ? "world:anyone:rwcda" : word).split(",")) {
                int first = entry.indexOf(':');
                int last = entry.lastIndexOf(':');
                int perms = 0;
                for (char c : entry.substring(last + 1).toCharArray()) {
                    perms |= 1 << "rwcda".indexOf(c);
                }
                acl.add(new ACL(perms, new Id(entry.substring(0, first), entry.substring(first + 1, last))));
            }
            return acl;
        }
    }

    private InteropClient() {
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (line.isEmpty()) {
                continue;
            }
            if (line.equals("halt")) {
                Runtime.getRuntime().halt(0);
            }
            try {
                OUT.println("{\"ok\":" + run(new Words(line)) + "}");
            } catch (KeeperException e) {
                String detail = e.getResults() == null ? "" : ",\"results\":" + results(e.getResults());
                OUT.println("{\"error\":\"" + e.code() + "\",\"code\":" + e.code().intValue() + detail + "}");
            } catch (Exception e) {
                OUT.println("{\"error\":" + quote(e.toString()) + "}");
            }
        }
        for (Session session : SESSIONS.values()) {
            session.zk.close();
        }
    }

    private static String run(Words w) throws Exception {
        String verb = w.raw();
        String name = w.raw();
        if (verb.equals("open")) {
            return open(name, w);
        }
        if (verb.equals("many")) {
            return many(name, w);
        }
        Session s = SESSIONS.get(name);
        ZooKeeper zk = s.zk;
        Stat stat = new Stat();
        switch (verb) {
        case "close":
            zk.close();
            SESSIONS.remove(name);
            return "true";
        case "state":
            return quote(zk.getState().toString());
        case "session":
            return session(zk);
        case "auth":
            zk.addAuthInfo(w.word(), w.word().getBytes(StandardCharsets.UTF_8));
            return "true";
        case "create":
            return quote(zk.create(w.word(), w.data(), w.acl(), CreateMode.valueOf(w.raw())));
        case "create2": {
            String path = w.word();
            byte[] data = w.data();
            List<ACL> acl = w.acl();
            CreateMode mode = CreateMode.valueOf(w.raw());
            String made = w.more()
                ? zk.create(path, data, acl, mode, stat, Long.decode(w.raw()))
                : zk.create(path, data, acl, mode, stat);
            return "{\"path\":" + quote(made) + ",\"stat\":" + json(stat) + "}";
        }
        case "delete":
            zk.delete(w.word(), w.number());
            return "true";
        case "set":
            return json(zk.setData(w.word(), w.data(), w.number()));
        case "get": {
            String path = w.word();
            byte[] data = w.more() ? zk.getData(path, s.watcher(w.raw()), stat) : zk.getData(path, false, stat);
            return "{\"data\":" + base64(data) + ",\"stat\":" + json(stat) + "}";
        }
        case "exists": {
            String path = w.word();
            return json(w.more() ? zk.exists(path, s.watcher(w.raw())) : zk.exists(path, false));
        }
        case "getacl":
            return "{\"acl\":" + json(zk.getACL(w.word(), stat)) + ",\"stat\":" + json(stat) + "}";
        case "setacl":
            return json(zk.setACL(w.word(), w.acl(), w.number()));
        case "ls": {
            String path = w.word();
            return strings(w.more() ? zk.getChildren(path, s.watcher(w.raw())) : zk.getChildren(path, false));
        }
        case "ls2": {
            String path = w.word();
            List<String> children = w.more()
                ? zk.getChildren(path, s.watcher(w.raw()), stat) : zk.getChildren(path, false, stat);
            return "{\"children\":" + strings(children) + ",\"stat\":" + json(stat) + "}";
        }
        case "sync": {
            CompletableFuture<Integer> done = new CompletableFuture<>();
            AsyncCallback.VoidCallback callback = (rc, path, context) -> done.complete(rc);
            zk.sync(w.word(), callback, null);
            int rc = done.get();
            if (rc != 0) {
                throw KeeperException.create(KeeperException.Code.get(rc));
            }
            return "true";
        }
        case "multi":
            return results(zk.multi(ops(w)));
        case "addwatch": {
            String path = w.word();
            zk.addWatch(path, s.watcher(w.raw()), AddWatchMode.valueOf(w.raw()));
            return "true";
        }
        case "rmwatch": {
            String path = w.word();
            zk.removeWatches(path, s.watcher(w.raw()), Watcher.WatcherType.valueOf(w.raw()), false);
            return "true";
        }
        case "rmallwatches":
            zk.removeAllWatches(w.word(), Watcher.WatcherType.valueOf(w.raw()), false);
            return "true";
        case "ephemerals":
            return strings(w.more() ? zk.getEphemerals(w.word()) : zk.getEphemerals());
        case "count":
            return Integer.toString(zk.getAllChildrenNumber(w.word()));
        case "whoami": {
            List<String> all = new ArrayList<>();
            for (ClientInfo info : zk.whoAmI()) {
                all.add(quote(info.getAuthScheme() + ":" + info.getUser()));
            }
            return "[" + String.join(",", all) + "]";
        }
        case "config":
            return "{\"data\":" + base64(((ZooKeeperAdmin) zk).getConfig(false, stat)) + ",\"stat\":"
                + json(stat) + "}";
        case "reconfig": {
            String joining = blank(w.word());
            String leaving = blank(w.word());
            String members = blank(w.word());
            return base64(((ZooKeeperAdmin) zk).reconfigure(joining, leaving, members, Long.decode(w.raw()), stat));
        }
        case "events":
            return (w.more() ? (Recorder) s.watcher(w.raw()) : s.recorder).drain();
        case "dump":
            return "[" + String.join(",", dump(zk, w.more() ? w.word() : "/", new ArrayList<>())) + "]";
        default:
            throw new IllegalArgumentException("unknown verb " + verb);
        }
    }

    private static String open(String name, Words w) throws Exception {
        String servers = w.raw();
        int timeout = w.number();
        Session s = new Session();
        Watcher first = event -> {
            s.recorder.process(event);
            if (event.getType() == Watcher.Event.EventType.None
                && event.getState() != Watcher.Event.KeeperState.Disconnected) {
                s.settled.countDown();
            }
        };
        boolean readOnly = false;
        long id = 0;
        byte[] password = null;
        while (w.more()) {
            String option = w.raw();
            if (option.equals("ro")) {
                readOnly = true;
            } else {
                String[] parts = option.split(":");
                id = Long.parseUnsignedLong(parts[0].substring(2), 16);
                password = unhex(parts[1]);
            }
        }
        s.zk = password == null
            ? new ZooKeeperAdmin(servers, timeout, first, readOnly)
            : new ZooKeeper(servers, timeout, first, id, password, readOnly);
        SESSIONS.put(name, s);
        if (!s.settled.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected after 30 s");
        }
        return session(s.zk);
    }

    /** Opens {@code count} sessions; each makes an ephemeral node under {@code parent}. */
    private static String many(String prefix, Words w) throws Exception {
        String servers = w.raw();
        int timeout = w.number();
        int count = w.number();
        String parent = w.word();
        for (int i = 0; i < count; i++) {
            run(new Words("open " + prefix + i + " " + servers + " " + timeout));
            SESSIONS.get(prefix + i).zk.create(parent + "/" + i, null,
                Collections.singletonList(new ACL(31, new Id("world", "anyone"))), CreateMode.EPHEMERAL);
        }
        return Integer.toString(count);
    }

    private static List<Op> ops(Words w) {
        List<Op> ops = new ArrayList<>();
        while (w.more()) {
            String verb = w.raw();
            switch (verb) {
            case "create": {
                String path = w.word();
                byte[] data = w.data();
                List<ACL> acl = w.acl();
                ops.add(Op.create(path, data, acl, CreateMode.valueOf(w.raw())));
                break;
            }
            case "createttl": {
                String path = w.word();
                byte[] data = w.data();
                List<ACL> acl = w.acl();
                CreateMode mode = CreateMode.valueOf(w.raw());
                ops.add(Op.create(path, data, acl, mode, Long.decode(w.raw())));
                break;
            }
            case "delete":
                ops.add(Op.delete(w.word(), w.number()));
                break;
            case "set":
                ops.add(Op.setData(w.word(), w.data(), w.number()));
                break;
            case "check":
                ops.add(Op.check(w.word(), w.number()));
                break;
            case "get":
                ops.add(Op.getData(w.word()));
                break;
            case "ls":
                ops.add(Op.getChildren(w.word()));
                break;
            default:
                throw new IllegalArgumentException("unknown op " + verb);
            }
        }
        return ops;
    }

    private static List<String> dump(ZooKeeper zk, String path, List<String> lines) throws Exception {
        Stat stat = new Stat();
        byte[] data = zk.getData(path, false, stat);
        List<ACL> acl = zk.getACL(path, new Stat());
        lines.add("{\"path\":" + quote(path) + ",\"data\":" + base64(data) + ",\"stat\":" + json(stat)
            + ",\"acl\":" + json(acl) + "}");
        List<String> children = zk.getChildren(path, false);
        Collections.sort(children);
        for (String child : children) {
            dump(zk, path.equals("/") ? "/" + child : path + "/" + child, lines);
        }
        return lines;
    }

    private static String session(ZooKeeper zk) {
        return "{\"id\":\"0x" + Long.toHexString(zk.getSessionId()) + "\",\"password\":\""
            + hex(zk.getSessionPasswd()) + "\",\"timeout\":" + zk.getSessionTimeout() + ",\"state\":\""
            + zk.getState() + "\"}";
    }

    private static String results(List<OpResult> results) {
        List<String> all = new ArrayList<>();
        for (OpResult result : results) {
            if (result instanceof OpResult.ErrorResult) {
                all.add("{\"err\":" + ((OpResult.ErrorResult) result).getErr() + "}");
            } else if (result instanceof OpResult.CreateResult) {
                OpResult.CreateResult created = (OpResult.CreateResult) result;
                all.add("{\"path\":" + quote(created.getPath()) + ",\"stat\":" + json(created.getStat()) + "}");
            } else if (result instanceof OpResult.SetDataResult) {
                all.add("{\"stat\":" + json(((OpResult.SetDataResult) result).getStat()) + "}");
            } else if (result instanceof OpResult.GetDataResult) {
                OpResult.GetDataResult got = (OpResult.GetDataResult) result;
                all.add("{\"data\":" + base64(got.getData()) + ",\"stat\":" + json(got.getStat()) + "}");
            } else if (result instanceof OpResult.GetChildrenResult) {
                all.add("{\"children\":" + strings(((OpResult.GetChildrenResult) result).getChildren()) + "}");
            } else {
                all.add("{}");
            }
        }
        return "[" + String.join(",", all) + "]";
    }

    private static String json(Stat s) {
        if (s == null) {
            return "null";
        }
        return "{\"czxid\":" + s.getCzxid() + ",\"mzxid\":" + s.getMzxid() + ",\"ctime\":" + s.getCtime()
            + ",\"mtime\":" + s.getMtime() + ",\"version\":" + s.getVersion() + ",\"cversion\":"
            + s.getCversion() + ",\"aversion\":" + s.getAversion() + ",\"ephemeralOwner\":"
            + s.getEphemeralOwner() + ",\"dataLength\":" + s.getDataLength() + ",\"numChildren\":"
            + s.getNumChildren() + ",\"pzxid\":" + s.getPzxid() + "}";
    }

    private static String json(List<ACL> acl) {
        List<String> all = new ArrayList<>();
        for (ACL entry : acl) {
            all.add("{\"perms\":" + entry.getPerms() + ",\"scheme\":" + quote(entry.getId().getScheme())
                + ",\"id\":" + quote(entry.getId().getId()) + "}");
        }
        return "[" + String.join(",", all) + "]";
    }

    private static String strings(List<String> list) {
        List<String> all = new ArrayList<>();
        for (String entry : list) {
            all.add(quote(entry));
        }
        return "[" + String.join(",", all) + "]";
    }

    private static String quote(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }

    private static String base64(byte[] data) {
        return data == null ? "null" : quote(Base64.getEncoder().encodeToString(data));
    }

    private static String blank(String word) {
        return word.equals("null") ? null : word;
    }

    private static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }

    private static byte[] unhex(String text) {
        byte[] bytes = new byte[text.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }
}
