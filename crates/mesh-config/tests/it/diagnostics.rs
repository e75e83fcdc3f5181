//! One test for each thing that can be wrong with a field.

use crate::support::bad;

#[test]
fn an_unknown_field_gets_the_nearest_name() {
    insta::assert_snapshot!(bad(r#"
agents:
  sales:
    listen: 127.0.0.1:8092
    worker: { command: [x] }
    tasks: { concurency: 8 }
    zzz: 1
gatway: {}
"#), @r#"
    error: unknown field `concurency` in agents.sales.tasks
     --> mesh.yaml:5:14
      |
    5 |     tasks: { concurency: 8 }
      |              ^^^^^^^^^^ did you mean `concurrency`?

    error: unknown field `zzz` in agents.sales
     --> mesh.yaml:6:5
      |
    6 |     zzz: 1
      |     ^^^

    error: unknown field `gatway` in the mesh file
     --> mesh.yaml:7:1
      |
    7 | gatway: {}
      | ^^^^^^ did you mean `gateway`?
    "#);
}

#[test]
fn wrong_types_say_what_was_expected() {
    insta::assert_snapshot!(bad(r#"
mesh: [a]
gateway: { listen: "localhost:3003", call_timeout: abc, audit: {} }
admin: yes
tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
agents: []
limits: { body: 4 MB of text, depth: 0, event: 1B, header_timeout: 0s }
telemetry: { log: jsn, otlp: "ftp://x" }
"#), @r#"
    error: expected a name, found a list
     --> mesh.yaml:1:7
      |
    1 | mesh: [a]
      |       ^^^

    error: expected an address like 127.0.0.1:8092, found the text "localhost:3003"
     --> mesh.yaml:2:20
      |
    2 | gateway: { listen: "localhost:3003", call_timeout: abc, audit: {} }
      |                    ^^^^^^^^^^^^^^^^ write 127.0.0.1:3003

    error: expected a duration like 30s, found `abc`
     --> mesh.yaml:2:52
      |
    2 | gateway: { listen: "localhost:3003", call_timeout: abc, audit: {} }
      |                                                    ^^^

    error: expected a path, found a mapping
     --> mesh.yaml:2:64
      |
    2 | gateway: { listen: "localhost:3003", call_timeout: abc, audit: {} }
      |                                                                ^^^

    error: expected a mapping, found `yes`
     --> mesh.yaml:3:8
      |
    3 | admin: yes
      |        ^^^

    error: expected a list, found `python crm.py`
     --> mesh.yaml:4:26
      |
    4 | tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
      |                          ^^^^^^^^^^^^^

    error: expected a whole number, found `many`
     --> mesh.yaml:4:54
      |
    4 | tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
      |                                                      ^^^^

    error: expected a whole number, found the text "8"
     --> mesh.yaml:4:67
      |
    4 | tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
      |                                                                   ^^^

    error: expected a duration like 30s, found `30`
     --> mesh.yaml:4:81
      |
    4 | tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
      |                                                                                 ^^ add a unit: ms, s, m, h or d

    error: expected a list, found `x`
     --> mesh.yaml:4:91
      |
    4 | tools: { crm: { command: python crm.py, concurrency: many, queue: "8", timeout: 30, tags: x } }
      |                                                                                           ^

    error: expected a mapping, found a list
     --> mesh.yaml:5:9
      |
    5 | agents: []
      |         ^^

    error: expected a size like 4MiB, found `4 MB of text`
     --> mesh.yaml:6:17
      |
    6 | limits: { body: 4 MB of text, depth: 0, event: 1B, header_timeout: 0s }
      |                 ^^^^^^^^^^^^

    error: expected a number from 4 to 1024, found `0`
     --> mesh.yaml:6:38
      |
    6 | limits: { body: 4 MB of text, depth: 0, event: 1B, header_timeout: 0s }
      |                                      ^

    error: expected a size from 1KiB to 1024GiB, found `1B`
     --> mesh.yaml:6:48
      |
    6 | limits: { body: 4 MB of text, depth: 0, event: 1B, header_timeout: 0s }
      |                                                ^^

    error: expected a duration greater than zero
     --> mesh.yaml:6:68
      |
    6 | limits: { body: 4 MB of text, depth: 0, event: 1B, header_timeout: 0s }
      |                                                                    ^^

    error: expected one of text, json, found `jsn`
     --> mesh.yaml:7:19
      |
    7 | telemetry: { log: jsn, otlp: "ftp://x" }
      |                   ^^^ did you mean `json`?

    error: expected a URL like http://127.0.0.1:9001/mcp, found the text "ftp://x"
     --> mesh.yaml:7:30
      |
    7 | telemetry: { log: jsn, otlp: "ftp://x" }
      |                              ^^^^^^^^^^
    "#);
}

#[test]
fn missing_fields_are_reported_at_their_section() {
    insta::assert_snapshot!(bad(r#"
agents:
  sales:
    card: { provider: { organization: Example } }
  empty:
"#), @r#"
    error: `listen` is missing in agents.sales
     --> mesh.yaml:2:3
      |
    2 |   sales:
      |   ^^^^^

    error: `worker` is missing in agents.sales
     --> mesh.yaml:2:3
      |
    2 |   sales:
      |   ^^^^^

    error: `url` is missing in agents.sales.card.provider
     --> mesh.yaml:3:13
      |
    3 |     card: { provider: { organization: Example } }
      |             ^^^^^^^^

    error: nothing is written for agents.empty
     --> mesh.yaml:4:3
      |
    4 |   empty:
      |   ^^^^^
    "#);
}

#[test]
fn a_field_written_twice_is_reported() {
    insta::assert_snapshot!(bad(r#"
mesh: one
mesh: two
tools: { a: { url: "http://h/", headers: { X-A: b, x-a: c } } }
"#), @r#"
    error: `mesh` is written twice
     --> mesh.yaml:2:1
      |
    2 | mesh: two
      | ^^^^ first written in line 1

    error: `x-a` is written twice
     --> mesh.yaml:3:52
      |
    3 | tools: { a: { url: "http://h/", headers: { X-A: b, x-a: c } } }
      |                                                    ^^^
    "#);
}

#[test]
fn ids_follow_their_rules() {
    insta::assert_snapshot!(bad(r#"
tools: { my_crm: { command: [x] }, "": { command: [x] } }
agents: { Sales: { listen: "127.0.0.1:8090", worker: { command: [x], env: { "A B": c } } } }
access: { tenant: Big Corp }
"#), @r#"
    error: `my_crm` cannot be an upstream id
     --> mesh.yaml:1:10
      |
    1 | tools: { my_crm: { command: [x] }, "": { command: [x] } }
      |          ^^^^^^ allowed: a-z first, then a-z, 0-9 or -, at most 31 characters

    error: `` cannot be an upstream id
     --> mesh.yaml:1:36
      |
    1 | tools: { my_crm: { command: [x] }, "": { command: [x] } }
      |                                    ^^ allowed: a-z first, then a-z, 0-9 or -, at most 31 characters

    error: `Sales` cannot be an agent id
     --> mesh.yaml:2:11
      |
    2 | agents: { Sales: { listen: "127.0.0.1:8090", worker: { command: [x], env: { "A B": c } } } }
      |           ^^^^^ allowed: a-z first, then a-z, 0-9 or -, at most 63 characters

    error: `A B` cannot be a variable name
     --> mesh.yaml:2:77
      |
    2 | agents: { Sales: { listen: "127.0.0.1:8090", worker: { command: [x], env: { "A B": c } } } }
      |                                                                             ^^^^^ allowed: a letter or _ first, then letters, digits or _

    error: `Big Corp` cannot be used as a name here
     --> mesh.yaml:3:19
      |
    3 | access: { tenant: Big Corp }
      |                   ^^^^^^^^ allowed: a-z first, then a-z, 0-9 or -, at most 63 characters
    "#);
}

#[test]
fn upstreams_and_peers_must_exist() {
    insta::assert_snapshot!(bad(r#"
tools:
  crm: { command: [x] }
agents:
  sales:
    listen: 127.0.0.1:8092
    worker: { command: [x] }
    tools: [crm/get_customer, crn/get_customer, crm, "*/x"]
    peers: [sale, unknown]
"#), @r#"
    error: agents.sales.tools[1] names the upstream `crn`, which is not in `tools`
     --> mesh.yaml:7:31
      |
    7 |     tools: [crm/get_customer, crn/get_customer, crm, "*/x"]
      |                               ^^^^^^^^^^^^^^^^ did you mean `crm`?

    error: expected a tool like crm/get_customer or crm/*, found `crm`
     --> mesh.yaml:7:49
      |
    7 |     tools: [crm/get_customer, crn/get_customer, crm, "*/x"]
      |                                                 ^^^

    error: expected a tool like crm/get_customer or crm/*, found the text "*/x"
     --> mesh.yaml:7:54
      |
    7 |     tools: [crm/get_customer, crn/get_customer, crm, "*/x"]
      |                                                      ^^^^^

    error: agents.sales.peers[0] names the agent `sale`, which is not in `agents`
     --> mesh.yaml:8:13
      |
    8 |     peers: [sale, unknown]
      |             ^^^^ did you mean `sales`?

    error: agents.sales.peers[1] names the agent `unknown`, which is not in `agents`
     --> mesh.yaml:8:19
      |
    8 |     peers: [sale, unknown]
      |                   ^^^^^^^
    "#);
}

#[test]
fn no_two_parts_share_a_port() {
    insta::assert_snapshot!(bad(r#"
gateway: { listen: "127.0.0.1:3004" }
agents:
  a: { listen: "127.0.0.1:8090", worker: { command: [x] } }
  b: { listen: "127.0.0.1:8090", worker: { command: [x] } }
  c: { listen: "127.0.0.1:0", worker: { command: [x] } }
  d: { listen: "127.0.0.1:0", worker: { command: [x] } }
"#), @r#"
    error: gateway.listen and admin.listen cannot both listen on 127.0.0.1:3004
     --> mesh.yaml:1:20
      |
    1 | gateway: { listen: "127.0.0.1:3004" }
      |                    ^^^^^^^^^^^^^^^^^

    error: agents.b.listen and agents.a.listen cannot both listen on 127.0.0.1:8090
     --> mesh.yaml:4:16
      |
    4 |   b: { listen: "127.0.0.1:8090", worker: { command: [x] } }
      |                ^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn an_upstream_is_in_exactly_one_place() {
    insta::assert_snapshot!(bad(r#"
tools:
  none: { category: x }
  both: { command: [x], url: "http://h/" }
  mixed: { url: "http://h/", cwd: . }
  odd: { targets: [ { url: "http://h/", command: [x] }, { weight: 2 } ], headers: { a: b } }
  user: { url: "http://me:pass@h/" }
"#), @r#"
    error: tools.none needs `command`, `url` or `targets`
     --> mesh.yaml:2:3
      |
    2 |   none: { category: x }
      |   ^^^^ exactly one of them says where it is

    error: tools.both has both `command` and `url`
     --> mesh.yaml:3:3
      |
    3 |   both: { command: [x], url: "http://h/" }
      |   ^^^^ exactly one of them says where it is

    error: `cwd` has no meaning next to `url` in tools.mixed
     --> mesh.yaml:4:30
      |
    4 |   mixed: { url: "http://h/", cwd: . }
      |                              ^^^

    error: tools.odd.targets[0] has both `command` and `url`
     --> mesh.yaml:5:21
      |
    5 |   odd: { targets: [ { url: "http://h/", command: [x] }, { weight: 2 } ], headers: { a: b } }
      |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ exactly one of them says where it is

    error: tools.odd.targets[1] needs `command` or `url`
     --> mesh.yaml:5:57
      |
    5 |   odd: { targets: [ { url: "http://h/", command: [x] }, { weight: 2 } ], headers: { a: b } }
      |                                                         ^^^^^^^^^^^^^^ exactly one of them says where it is

    error: `headers` has no meaning next to `targets` in tools.odd
     --> mesh.yaml:5:74
      |
    5 |   odd: { targets: [ { url: "http://h/", command: [x] }, { weight: 2 } ], headers: { a: b } }
      |                                                                          ^^^^^^^

    error: a URL cannot hold a user name or password
     --> mesh.yaml:6:16
      |
    6 |   user: { url: ********************}
      |                ^^^^^^^^^^^^^^^^^^^^ send them in a header, by reference
    "#);
}

#[test]
fn a_worker_is_exactly_one_thing() {
    insta::assert_snapshot!(bad(r#"
agents:
  none: { listen: "127.0.0.1:8090", worker: {} }
  both: { listen: "127.0.0.1:8091", worker: { python: "a:b", command: [x] } }
  venv: { listen: "127.0.0.1:8092", worker: { command: [], venv: v } }
  a2a: { listen: "127.0.0.1:8093", worker: { a2a: { url: "http://h/" } } }
  file: { listen: "127.0.0.1:8094", worker: { python: sales.py } }
  loss: { listen: "127.0.0.1:8095", worker: { command: [x] }, tasks: { on_worker_loss: { retry: 0 } } }
  more: { listen: "127.0.0.1:8096", worker: { command: [x] }, tasks: { on_worker_loss: retry } }
"#), @r#"
    error: agents.none.worker needs `python` or `command`
     --> mesh.yaml:2:37
      |
    2 |   none: { listen: "127.0.0.1:8090", worker: {} }
      |                                     ^^^^^^ exactly one of them says what is started

    error: agents.both.worker has both `python` and `command`
     --> mesh.yaml:3:37
      |
    3 |   both: { listen: "127.0.0.1:8091", worker: { python: "a:b", command: [x] } }
      |                                     ^^^^^^ exactly one of them says what is started

    error: expected a list with at least one item
     --> mesh.yaml:4:56
      |
    4 |   venv: { listen: "127.0.0.1:8092", worker: { command: [], venv: v } }
      |                                                        ^^

    error: `venv` has no meaning next to `command` in agents.venv.worker
     --> mesh.yaml:4:60
      |
    4 |   venv: { listen: "127.0.0.1:8092", worker: { command: [], venv: v } }
      |                                                            ^^^^ name the interpreter in `command`

    error: `a2a` in agents.a2a.worker is not supported yet
     --> mesh.yaml:5:46
      |
    5 |   a2a: { listen: "127.0.0.1:8093", worker: { a2a: { url: "http://h/" } } }
      |                                              ^^^ planned: an existing A2A server as the worker

    error: expected a Python object like sales:crew (module:attribute), found `sales.py`
     --> mesh.yaml:6:55
      |
    6 |   file: { listen: "127.0.0.1:8094", worker: { python: sales.py } }
      |                                                       ^^^^^^^^

    error: expected a number from 1 to 100, found `0`
     --> mesh.yaml:7:97
      |
    7 |   loss: { listen: "127.0.0.1:8095", worker: { command: [x] }, tasks: { on_worker_loss: { retry: 0 } } }
      |                                                                                                 ^

    error: expected `fail` or `{ retry: 3 }`, found `retry`
     --> mesh.yaml:8:88
      |
    8 |   more: { listen: "127.0.0.1:8096", worker: { command: [x] }, tasks: { on_worker_loss: retry } }
      |                                                                                        ^^^^^
    "#);
}
