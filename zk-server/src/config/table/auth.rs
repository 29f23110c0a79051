//! Who may do what, and how clients show who they are.

use crate::config::form::{Form, Value};
use crate::config::key::Key;
use crate::config::key::Source::{Flag, Property};

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        "skipACL",
        Property,
        Form::YesNo,
        Some("no"),
        |c, v| c.auth.skip_acl = v.bool(),
        "Whether every ACL check passes. `yes` opens all data to every client.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.enabled",
        Property,
        Form::Bool,
        Some("true"),
        |c, v| c.auth.is_digest_enabled = v.bool(),
        "Whether clients can authenticate by the `digest` scheme.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.digestAlg",
        Property,
        Form::DigestAlgorithm,
        Some("SHA1"),
        |c, v| {
            if let Value::DigestAlgorithm(algorithm) = *v {
                c.auth.digest_algorithm = algorithm;
            }
        },
        "The hash of `digest` identities. ACLs made with another one no longer match.",
    ),
    Key::honoured(
        "DigestAuthenticationProvider.superDigest",
        Property,
        Form::SuperDigest,
        None,
        |c, v| {
            if let Value::SuperDigest(digest) = v {
                c.auth.super_digest = Some(digest.clone());
            }
        },
        "`super:base64(hash(super:password))`: the `digest` identity that passes every ACL check. \
         Without it there is none.",
    ),
    Key::honoured(
        "enforce.auth.schemes",
        Property,
        Form::Names,
        None,
        |c, v| {
            if let Value::Names(schemes) = v {
                c.auth.enforced_schemes.clone_from(schemes);
            }
        },
        "The schemes of which `enforce.auth.enabled` asks one: `ip` or `digest`.",
    ),
    Key::honoured(
        "enforce.auth.enabled",
        Property,
        Form::Bool,
        Some("false"),
        |c, v| {
            if !v.bool() {
                c.auth.enforced_schemes.clear();
            }
        },
        "Whether requests of a session are served only after one of `enforce.auth.schemes` \
         authenticated it. Otherwise the session is closed with SESSIONCLOSEDREQUIRESASLAUTH.",
    ),
    Key::no_effect(
        "enableEagerACLCheck",
        Property,
        Form::Bool,
        &["false"],
        "who makes the transaction checks the ACL, once",
    ),
    Key::refused(
        "authProvider.",
        Property,
        Form::Text,
        &[
            "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
            "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
        ],
        "Java classes cannot be loaded: the schemes are world, auth, digest and ip",
    ),
    Key::refused(
        "java.security.auth.login.config",
        Flag,
        Form::Path,
        &[],
        NO_SASL,
    ),
    Key::refused(
        "sessionRequireClientSASLAuth",
        Property,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::no_effect(
        "allowSaslFailedClients",
        Property,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::no_effect("superUser", Property, Form::Text, &[], NO_SASL),
    Key::no_effect("superUser.", Property, Form::Text, &[], NO_SASL),
    Key::no_effect("letAnySaslUserDoX", Property, Form::Text, &[], NO_SASL),
    Key::no_effect(
        "SASLAuthenticationProvider.superPassword",
        Property,
        Form::Secret,
        &[],
        NO_SASL,
    ),
    Key::no_effect("sasl.serverconfig", Property, Form::Text, &[], NO_SASL),
    Key::no_effect(
        "kerberos.removeHostFromPrincipal",
        Property,
        Form::Bool,
        &[],
        NO_SASL,
    ),
    Key::no_effect(
        "kerberos.removeRealmFromPrincipal",
        Property,
        Form::Bool,
        &[],
        NO_SASL,
    ),
    Key::no_effect(
        "kerberos.canonicalizeHostNames",
        Property,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::no_effect(
        "kerberos.minReLoginTimeMs",
        Property,
        Form::ANY_INT,
        &[],
        NO_SASL,
    ),
    Key::no_effect(
        "requireKerberosConfig",
        Property,
        Form::Bool,
        &["false"],
        NO_SASL,
    ),
    Key::no_effect("security.auth_to_local", Property, Form::Text, &[], NO_SASL),
    Key::no_effect("kinit", Property, Form::Text, &[], NO_SASL),
    Key::no_effect(
        "ensembleAuthName",
        Property,
        Form::Text,
        &[],
        "only the ensemble scheme of an authProvider reads it",
    ),
    Key::no_effect(
        "X509AuthenticationProvider.superUser",
        Property,
        Form::Text,
        &[],
        "the client port has no TLS",
    ),
    Key::no_effect(
        "X509AuthenticationProvider.",
        Property,
        Form::Text,
        &[],
        "the client port has no TLS",
    ),
];

const NO_SASL: &str = "there is no SASL authentication";
