//! URLs that must lead nowhere, by the kind of trick. PORT is the trap's, so that what passed would be seen there.

/// One trick, and its forms.
pub struct Kind {
    pub name: &'static str,
    pub forms: &'static [&'static str],
}

const fn kind(name: &'static str, forms: &'static [&'static str]) -> Kind {
    Kind { name, forms }
}

/// All of them.
pub const FORMS: &[Kind] = &[
    kind(
        "loopback",
        &[
            "http://127.0.0.1:PORT/",
            "http://127.8.9.1:PORT/",
            "http://127.255.255.254:PORT/",
            "http://0.0.0.0:PORT/",
            "http://[::1]:PORT/",
            "http://[::]:PORT/",
            "http://[0:0:0:0:0:0:0:1]:PORT/",
            "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
            "https://127.0.0.1:PORT/",
        ],
    ),
    kind(
        "octal",
        &[
            "http://0177.0.0.1:PORT/",
            "http://0177.0000.0000.0001:PORT/",
            "http://017700000001:PORT/",
            "http://0251.0376.0251.0376:PORT/",
        ],
    ),
    kind(
        "hexadecimal",
        &[
            "http://0x7f000001:PORT/",
            "http://0X7F000001:PORT/",
            "http://0x7f.0x0.0x0.0x1:PORT/",
            "http://0x0:PORT/",
            "http://0xA9FEA9FE:PORT/",
        ],
    ),
    kind(
        "decimal",
        &[
            "http://2130706433:PORT/",
            "http://3232235777:PORT/",
            "http://2852039166:PORT/latest/meta-data/",
            "http://425.510.425.510:PORT/",
        ],
    ),
    kind(
        "short",
        &[
            "http://127.1:PORT/",
            "http://127.0.1:PORT/",
            "http://127.65530:PORT/",
            "http://0:PORT/",
            "http://00000177.1:PORT/",
            "http://0x7f.1:PORT/",
            "http://10.1:PORT/",
        ],
    ),
    kind(
        "private",
        &[
            "http://10.0.0.1:PORT/",
            "http://172.16.0.1:PORT/",
            "http://172.31.255.255:PORT/",
            "http://192.168.1.1:PORT/",
        ],
    ),
    kind("carriers' shared", &["http://100.64.0.1:PORT/", "http://100.127.255.254:PORT/"]),
    kind(
        "link-local",
        &[
            "http://169.254.1.1:PORT/",
            "http://169.254.255.254:PORT/",
            "http://[fe80::1]:PORT/",
            "http://[febf::1]:PORT/",
        ],
    ),
    kind(
        "unique local and site-local",
        &["http://[fc00::1]:PORT/", "http://[fdff:ffff::1]:PORT/", "http://[fec0::1]:PORT/"],
    ),
    kind(
        "multicast and reserved",
        &[
            "http://224.0.0.1:PORT/",
            "http://240.0.0.1:PORT/",
            "http://255.255.255.255:PORT/",
            "http://192.0.0.192:PORT/",
            "http://192.88.99.1:PORT/",
            "http://198.18.0.1:PORT/",
            "http://192.0.2.1:PORT/",
            "http://203.0.113.1:PORT/",
            "http://[ff02::1]:PORT/",
            "http://[2001:db8::1]:PORT/",
            "http://[100::1]:PORT/",
        ],
    ),
    kind(
        "clouds' metadata",
        &[
            "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.169.254:80/metadata/instance?api-version=2021-02-01",
            "http://100.100.100.200/latest/meta-data/",
            "http://168.63.129.16:PORT/metadata",
            "http://192.0.0.192/opc/v2/instance/",
            "http://[fd00:ec2::254]:PORT/latest/meta-data/",
            "http://metadata.google.internal:PORT/computeMetadata/v1/",
        ],
    ),
    kind(
        "v4-mapped",
        &[
            "http://[::ffff:127.0.0.1]:PORT/",
            "http://[::ffff:7f00:1]:PORT/",
            "http://[::ffff:169.254.169.254]:PORT/",
            "http://[0:0:0:0:0:ffff:10.0.0.1]:PORT/",
        ],
    ),
    kind(
        "v4-compatible",
        &["http://[::127.0.0.1]:PORT/", "http://[::7f00:1]:PORT/", "http://[::10.0.0.1]:PORT/"],
    ),
    kind(
        "NAT64",
        &[
            "http://[64:ff9b::127.0.0.1]:PORT/",
            "http://[64:ff9b::a9fe:a9fe]:PORT/",
            "http://[64:ff9b::10.0.0.1]:PORT/",
        ],
    ),
    kind("local NAT64", &["http://[64:ff9b:1::7f00:1]:PORT/", "http://[64:ff9b:1:ffff::10.0.0.1]:PORT/"]),
    kind(
        "6to4",
        &[
            "http://[2002:7f00:1::]:PORT/",
            "http://[2002:a9fe:a9fe::1]:PORT/",
            "http://[2002:c0a8:101::1]:PORT/",
        ],
    ),
    kind("Teredo", &["http://[2001:0:7f00:1::]:PORT/", "http://[2001::1]:PORT/"]),
    kind("zone", &["http://[fe80::1%25lo]:PORT/", "http://[fe80::1%lo]:PORT/", "http://[::1%25lo]:PORT/"]),
    kind(
        "trailing dot",
        &[
            "http://127.0.0.1.:PORT/",
            "http://168.63.129.16.:PORT/metadata",
            "http://localhost.:PORT/",
            "http://2130706433.:PORT/",
        ],
    ),
    kind(
        "ports",
        &[
            "http://127.0.0.1:22/",
            "http://127.0.0.1:65535/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:99999/",
        ],
    ),
    kind(
        "user in front",
        &[
            "http://1.1.1.1@127.0.0.1:PORT/",
            "http://user:pass@127.0.0.1:PORT/",
            "http://1.1.1.1:80@127.0.0.1:PORT/",
            "http://public.example@localhost:PORT/",
            "http://1.1.1.1&@127.0.0.1:PORT/",
            "http://127.0.0.1:PORT\\@1.1.1.1/",
        ],
    ),
    kind(
        "something behind",
        &[
            "http://127.0.0.1:PORT#@1.1.1.1/",
            "http://127.0.0.1:PORT?@1.1.1.1/",
            "http://127.0.0.1%00.public.example:PORT/",
            "http://%31%32%37.0.0.1:PORT/",
        ],
    ),
    kind(
        "other and missing schemes",
        &[
            "http:127.0.0.1:PORT/",
            "http:/127.0.0.1:PORT/",
            "//127.0.0.1:PORT/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:PORT/_GET",
        ],
    ),
    kind(
        "names",
        &[
            "http://localhost:PORT/",
            "http://LOCALHOST:PORT/",
            "http://a.localhost:PORT/",
            "http://inside.example:PORT/",
            "http://inside6.example:PORT/",
            "http://mapped.example:PORT/",
            "http://both.example:PORT/",
            "http://127.0.0.1.nip.example:PORT/",
        ],
    ),
    kind(
        "IDN and letters that become digits",
        &[
            "http://xn--bcher-kva.example:PORT/",
            "http://b\u{fc}cher.example:PORT/",
            "http://127\u{ff0e}0\u{ff0e}0\u{ff0e}1:PORT/",
            "http://127\u{3002}0\u{3002}0\u{3002}1:PORT/",
            "http://\u{2460}\u{2461}\u{2466}.0.0.1:PORT/",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1:PORT/",
            "http://\u{24db}ocalhost:PORT/",
            "http://[\u{ff1a}\u{ff1a}1]:PORT/",
        ],
    ),
];

/// Of those, some that a client without a guard follows into the trap.
pub const DANGEROUS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://127.1:PORT/",
    "http://0:PORT/",
    "http://1.1.1.1@127.0.0.1:PORT/",
    "http://localhost:PORT/",
    "http://inside.example:PORT/",
    "http://xn--bcher-kva.example:PORT/",
];

/// Every form.
pub fn all() -> impl Iterator<Item = &'static str> {
    FORMS.iter().flat_map(|kind| kind.forms.iter().copied())
}
