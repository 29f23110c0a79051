//! What belongs to the JVM, to the threads and caches of Apache ZooKeeper, or to clients.

use crate::config::form::Form;
use crate::config::key::Key;
use crate::config::key::Source::{File, Flag, Property};

pub(super) const KEYS: &[Key] = &[
    Key::no_effect("jvm.pause.monitor", File, Form::Bool, &["false"], NO_JVM),
    Key::no_effect(
        "jvm.pause.warn-threshold.ms",
        File,
        Form::ANY_INT,
        &[],
        NO_JVM,
    ),
    Key::no_effect(
        "jvm.pause.info-threshold.ms",
        File,
        Form::ANY_INT,
        &[],
        NO_JVM,
    ),
    Key::no_effect("jvm.pause.sleep.time.ms", File, Form::ANY_INT, &[], NO_JVM),
    Key::no_effect("serverCnxnFactory", Property, Form::Text, &[], NO_THREADS),
    Key::no_effect(
        "nio.numSelectorThreads",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "nio.numWorkerThreads",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "nio.directBufferBytes",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "nio.shutdownTimeout",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "commitProcessor.numWorkerThreads",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "commitProcessor.maxReadBatchSize",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "commitProcessor.maxCommitBatchSize",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "commitProcessor.shutdownTimeout",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "intBufferStartingSizeBytes",
        Property,
        Form::ANY_INT,
        &[],
        NO_THREADS,
    ),
    Key::no_effect(
        "netty.server.outstandingHandshake.limit",
        Property,
        Form::ANY_INT,
        &["-1"],
        NO_NETTY,
    ),
    Key::no_effect(
        "netty.server.earlyDropSecureConnectionHandshakes",
        Property,
        Form::Bool,
        &["false"],
        NO_NETTY,
    ),
    Key::no_effect(
        "netty.advancedFlowControl.enabled",
        Property,
        Form::Bool,
        &["false"],
        NO_NETTY,
    ),
    Key::no_effect(
        "maxResponseCacheSize",
        Property,
        Form::ANY_INT,
        &["0"],
        NO_CACHE,
    ),
    Key::no_effect(
        "maxGetChildrenResponseCacheSize",
        Property,
        Form::ANY_INT,
        &["0"],
        NO_CACHE,
    ),
    Key::no_effect(
        "watchManagerName",
        Property,
        Form::Text,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "watcherCleanThreadsNum",
        Property,
        Form::ANY_INT,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "watcherCleanIntervalInSeconds",
        Property,
        Form::ANY_INT,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "watcherCleanThreshold",
        Property,
        Form::ANY_INT,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "maxInProcessingDeadWatchers",
        Property,
        Form::ANY_INT,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "bitHashCacheSize",
        Property,
        Form::ANY_INT,
        &[],
        ONE_WATCH_TABLE,
    ),
    Key::no_effect(
        "pathStats.enabled",
        Property,
        Form::Bool,
        &["false"],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.slotCapacity",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.slotDuration",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.maxDepth",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.sampleRate",
        Property,
        Form::Float,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.initialDelay",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.delay",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "pathStats.topPathMax",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "messageTracker.Enabled",
        Property,
        Form::Bool,
        &["false"],
        NO_PATH_STATS,
    ),
    Key::no_effect(
        "messageTracker.BufferSize",
        Property,
        Form::ANY_INT,
        &[],
        NO_PATH_STATS,
    ),
    Key::no_effect("jmx.log4j.disable", Property, Form::Bool, &[], NO_JVM),
    Key::no_effect("jmx.log4j.mbean", Property, Form::Text, &[], NO_JVM),
    Key::no_effect("log.dir", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log.file", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log.threshold", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log.maxfilesize", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log.maxbackupindex", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("console.threshold", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("root.logger", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("auditlog.", Property, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log4j.", Flag, Form::Text, &[], NO_LOG4J),
    Key::no_effect("log4j2.", Flag, Form::Text, &[], NO_LOG4J),
    Key::no_effect("logback.", Flag, Form::Text, &[], NO_LOG4J),
    Key::no_effect("org.slf4j.", Flag, Form::Text, &[], NO_LOG4J),
    Key::no_effect("java.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("javax.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("jdk.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("sun.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("com.sun.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("file.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("user.", Flag, Form::Text, &[], NO_JVM),
    Key::no_effect("io.netty.", Flag, Form::Text, &[], NO_NETTY),
    Key::no_effect("client.secure", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("clientCnxnSocket", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect(
        "disableAutoWatchReset",
        Property,
        Form::Text,
        &[],
        OF_CLIENTS,
    ),
    Key::no_effect("request.timeout", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("sasl.client", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("sasl.client.", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("sasl.clientconfig", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("server.principal", Property, Form::Text, &[], OF_CLIENTS),
    Key::no_effect("server.realm", Property, Form::Text, &[], OF_CLIENTS),
];

const NO_JVM: &str = "this server does not run in a JVM";

const NO_LOG4J: &str = "this server has its own logging";

const NO_NETTY: &str = "this server does not use Netty";

const NO_THREADS: &str = "this server sizes its threads and buffers by itself";

const NO_CACHE: &str = "replies are encoded from the tree without a cache";

const ONE_WATCH_TABLE: &str = "there is one implementation of the watch table";

const NO_PATH_STATS: &str = "requests are not sampled by path";

const OF_CLIENTS: &str = "it is a setting of clients";
