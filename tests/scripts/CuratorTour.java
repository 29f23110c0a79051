import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.data.Stat;

/**
 * Curator at the server {@code args[0]}.
 *
 * <p>{@code tour}: two clients contend for a mutex and for leadership; one line for each thing seen.
 *
 * <p>{@code hold PATH ROUNDS}: takes the mutex ROUNDS times, and prints the zxid of its znode's creation while it
 * holds it, between two readings of a counter at PATH-counter that nobody else may touch meanwhile.
 */
public final class CuratorTour {
    private CuratorTour() {
    }

    private static CuratorFramework client(String server) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(server, 20000, 20000, new RetryOneTime(100));
        client.start();
        if (!client.blockUntilConnected(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        return client;
    }

    public static void main(String[] args) throws Exception {
        if (args[1].equals("tour")) {
            mutex(args[0]);
            latch(args[0]);
        } else {
            hold(args[0], args[2], Integer.parseInt(args[3]));
        }
    }

    private static void mutex(String server) throws Exception {
        CuratorFramework one = client(server);
        CuratorFramework two = client(server);
        InterProcessMutex first = new InterProcessMutex(one, "/curator/mutex");
        InterProcessMutex second = new InterProcessMutex(two, "/curator/mutex");
        System.out.println("first " + first.acquire(30, TimeUnit.SECONDS));
        System.out.println("again " + first.acquire(30, TimeUnit.SECONDS));
        System.out.println("second " + second.acquire(300, TimeUnit.MILLISECONDS));
        CountDownLatch got = new CountDownLatch(1);
        Thread waiting = new Thread(() -> {
            try {
                second.acquire();
                got.countDown();
                second.release();
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        waiting.start();
        while (first.getParticipantNodes().size() < 2) {
            Thread.onSpinWait();
        }
        first.release();
        System.out.println("still held " + first.isAcquiredInThisProcess() + " " + got.getCount());
        first.release();
        System.out.println("then second " + got.await(30, TimeUnit.SECONDS));
        waiting.join();
        one.close();
        two.close();
    }

    private static void latch(String server) throws Exception {
        CuratorFramework one = client(server);
        CuratorFramework two = client(server);
        LeaderLatch first = new LeaderLatch(one, "/curator/latch", "first");
        LeaderLatch second = new LeaderLatch(two, "/curator/latch", "second");
        first.start();
        System.out.println("leads " + first.await(30, TimeUnit.SECONDS));
        second.start();
        while (second.getParticipants().size() < 2) {
            Thread.onSpinWait();
        }
        System.out.println("leader " + second.getLeader().getId() + " " + second.hasLeadership());
        // The session ends, and with it the leadership.
        one.close();
        System.out.println("next " + second.await(30, TimeUnit.SECONDS) + " " + second.getLeader().getId());
        second.close();
        two.close();
    }

    private static void hold(String server, String path, int rounds) throws Exception {
        CuratorFramework client = client(server);
        InterProcessMutex mutex = new InterProcessMutex(client, path);
        System.out.println("ready");
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        for (int round = 0; round < rounds; round++) {
            mutex.acquire();
            long token = Long.MAX_VALUE;
            for (String node : mutex.getParticipantNodes()) {
                Stat stat = client.checkExists().forPath(node);
                if (stat != null && stat.getEphemeralOwner() == client.getZookeeperClient().getZooKeeper().getSessionId()) {
                    token = stat.getCzxid();
                }
            }
            Stat before = new Stat();
            client.getData().storingStatIn(before).forPath(path + "-counter");
            Stat after = client.setData().forPath(path + "-counter", Long.toString(token).getBytes());
            System.out.println(token + " " + before.getVersion() + " " + after.getVersion());
            mutex.release();
        }
        client.close();
    }
}
