%% tb_cli_tests - the command line: verbs against a running daemon and a BEAM
%% node, what they print and how they exit, and the checks of a configuration.
-module(tb_cli_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 300).
-define(OK, 0).
-define(FAILED, 1).
-define(USAGE, 2).

-spec cli_test_() -> tuple().
cli_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({_, Daemon}) ->
        N = tb_lib:node_of(Daemon),
        true = net_kernel:connect_node(N),
        [
            {timeout, ?TIMEOUT, {Title, fun() -> Case(N) end}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    Epmd = tb_lib:join(cli),
    {Epmd, tb_lib:daemon(tb, #{config => tb_lib:still()})}.

cleanup({Epmd, Daemon}) ->
    tb_lib:stop(Daemon),
    tb_lib:leave(Epmd).

cases() ->
    [
        {"ping: pong", fun ping/1},
        {"ping: pang, and why", fun pang/1},
        {"ping: a wrong cookie", fun wrong_cookie/1},
        {"ping: a node that does not answer", fun silent_node/1},
        {"nodes", fun nodes_verb/1},
        {"status", fun status/1},
        {"events", fun events/1},
        {"events: as they happen", fun events_follow/1},
        {"call", fun call/1},
        {"call: a BEAM's server", fun call_beam/1},
        {"call: failures", fun call_failures/1},
        {"call: bad terms", fun bad_terms/1},
        {"call: a server that does not answer", fun call_timeout/1},
        {"many at once", fun many_at_once/1},
        {"a command is no news", fun no_news/1},
        {"a command leaves nothing behind", fun nothing_left/1},
        {"show-config", fun show_config/1},
        {"check-config: a good file", fun check_good/1},
        {"check-config: each error with its line", fun check_broken/1},
        {"check-config: no file", fun check_missing/1},
        {"a daemon does not start with a broken file", fun broken_start/1},
        {"--version, --help, --messages", fun about/1},
        {"unknown verbs and flags", fun unknown/1},
        {"a cookie file", fun cookie_file/1}
    ].

%% ------------------------------------------------------------------ helper

tiebeam(Args) ->
    tiebeam(Args, []).

tiebeam(Args, Env) ->
    tb_lib:run(tb_lib:binary(), Args, Env).

%% With this cluster's cookie.
cli(Args) ->
    tiebeam(["-setcookie", tb_lib:cookie() | Args]).

%% With --json: the exit status and the decoded answer. Nothing else is printed.
json(Args) ->
    {Status, Out, Err} = cli(["--json" | Args]),
    ?assertEqual("", Err),
    {Status, decode(Out)}.

text(Node) ->
    atom_to_list(Node).

absent() ->
    "absent@" ++ tb_lib:host().

contains(Part, Text) ->
    string:find(Text, Part) =/= nomatch orelse error({Part, not_in, Text}).

%% A strict JSON reader: objects are maps with string keys.
decode(Text) ->
    {Value, Rest} = value(skip(Text)),
    ?assertEqual("", skip(Rest)),
    Value.

skip([C | Rest]) when C =:= $\s; C =:= $\n; C =:= $\t; C =:= $\r -> skip(Rest);
skip(Rest) -> Rest.

value("{" ++ Rest) -> object(skip(Rest), #{});
value("[" ++ Rest) -> array(skip(Rest), []);
value("\"" ++ Rest) -> string(Rest, []);
value("true" ++ Rest) -> {true, Rest};
value("false" ++ Rest) -> {false, Rest};
value("null" ++ Rest) -> {null, Rest};
value(Text) -> number(Text, []).

object("}" ++ Rest, Map) ->
    {Map, Rest};
object("\"" ++ Rest, Map) ->
    {Key, ":" ++ AfterColon} = trim(string(Rest, [])),
    {Value, After} = trim(value(skip(AfterColon))),
    ?assertNot(is_map_key(Key, Map)),
    case After of
        "," ++ More -> object(skip(More), Map#{Key => Value});
        "}" ++ More -> {Map#{Key => Value}, More}
    end.

array("]" ++ Rest, []) ->
    {[], Rest};
array(Text, Values) ->
    {Value, After} = trim(value(Text)),
    case After of
        "," ++ More -> array(skip(More), [Value | Values]);
        "]" ++ More -> {lists:reverse(Values, [Value]), More}
    end.

trim({Value, Rest}) ->
    {Value, skip(Rest)}.

string("\"" ++ Rest, Chars) ->
    {lists:reverse(Chars), Rest};
string("\\u" ++ [A, B, C, D | Rest], Chars) ->
    string(Rest, [list_to_integer([A, B, C, D], 16) | Chars]);
string([$\\, C | Rest], Chars) ->
    {C, Char} = lists:keyfind(C, 1, [
        {$", $"}, {$\\, $\\}, {$/, $/}, {$n, $\n}, {$t, $\t}, {$r, $\r}, {$b, $\b}, {$f, $\f}
    ]),
    string(Rest, [Char | Chars]);
string([C | Rest], Chars) when C >= $\s ->
    string(Rest, [C | Chars]).

number([C | Rest], Chars) when C >= $0, C =< $9; C =:= $-; C =:= $+; C =:= $.; C =:= $e; C =:= $E ->
    number(Rest, [C | Chars]);
number(Rest, [_ | _] = Chars) ->
    Text = lists:reverse(Chars),
    Value =
        try
            list_to_integer(Text)
        catch
            error:badarg -> list_to_float(Text)
        end,
    {Value, Rest}.

%% ------------------------------------------------------------------- verbs

ping(N) ->
    ?assertEqual({?OK, "pong\n", ""}, cli(["ping", text(N)])),
    ?assertEqual({?OK, "pong\n", ""}, cli(["ping", text(node())])),
    {?OK, #{"result" := "pong", "ms" := Ms}} = json(["ping", text(N)]),
    ?assert(is_number(Ms)).

pang(N) ->
    {?FAILED, "pang\n", Why} = cli(["ping", absent()]),
    contains("knows no node of that name", Why),
    contains(hd(string:split(text(N), "@")), Why),
    {?FAILED, "pang\n", NoHost} = cli(["ping", "a@no.such.host.invalid"]),
    contains("does not resolve", NoHost),
    [
        begin
            {?USAGE, "", NoName} = cli(["ping", Name]),
            contains("Name@Host", NoName)
        end
     || Name <- ["noname", "@host", "name@", "a@b@c"]
    ],
    Port = integer_to_list(tb_lib:free_port()),
    {?FAILED, "pang\n", NoEpmd} = cli(["--epmd-port", Port, "ping", text(N)]),
    contains("no epmd", NoEpmd),
    contains(Port, NoEpmd),
    ?assertMatch({?FAILED, #{"error" := "not_in_epmd", "text" := [_ | _]}}, json(["ping", absent()])),
    ?assertMatch({?FAILED, #{"error" := "nxdomain"}}, json(["ping", "a@no.such.host.invalid"])).

json_lines(Text) ->
    [decode(Line) || Line <- string:lexemes(Text, "\n")].

events(N) ->
    {?OK, Text, ""} = cli(["--node", text(N), "events"]),
    contains("up        " ++ text(node()) ++ "  (connected)", Text),
    {?OK, Json, ""} = cli(["--json", "--node", text(N), "events"]),
    Me = text(node()),
    ?assertMatch(
        [#{"node" := Me, "from" := "down", "to" := "up", "reason" := "connected", "time" := _} | _],
        json_lines(Json)
    ),
    %% the command itself is no event
    ?assertEqual([], [E || #{"node" := "tiebeam_cli" ++ _} = E <- json_lines(Json)]),
    {?FAILED, "", Why} = cli(["--node", absent(), "events"]),
    contains("knows no node", Why),
    {?FAILED, "", NoProc} = cli(["--node", text(node()), "events"]),
    contains("no such process", NoProc).

events_follow(_) ->
    Daemon = tb_lib:daemon(followed),
    N = tb_lib:node_of(Daemon),
    true = net_kernel:connect_node(N),
    Args = ["-setcookie", tb_lib:cookie(), "--timeout", "4", "--json", "--node", text(N)],
    Follower = tb_lib:start(tb_lib:binary(), Args ++ ["events", "--follow"]),
    %% a line may have come in part
    Lines = fun() ->
        [_ | Whole] = lists:reverse(string:split(binary_to_list(tb_lib:output(Follower)), "\n", all)),
        json_lines(lists:append(lists:join("\n", lists:reverse(Whole))))
    end,
    tb_lib:until(fun() -> length(Lines()) =:= 1 end),
    true = erlang:disconnect_node(N),
    tb_lib:until(fun() -> length(Lines()) =:= 2 end),
    %% longer than the timeout
    receive
    after 5000 -> ok
    end,
    true = net_kernel:connect_node(N),
    tb_lib:until(fun() -> length(Lines()) =:= 3 end),
    ?assertEqual(["up", "down", "up"], [To || #{"to" := To} <- Lines()]),
    %% it ends with what it follows, and says so
    tb_lib:stop(Daemon),
    ?assertEqual(?FAILED, tb_lib:wait_exit(Follower)).

%% The cookie itself is never shown.
wrong_cookie(N) ->
    [
        begin
            {?FAILED, Out, Err} = tiebeam(["-setcookie", "wrong", "ping" | Args]),
            contains("cookies differ", Out ++ Err),
            contains("flag -setcookie", Out ++ Err),
            ?assertEqual(nomatch, string:find(Out ++ Err, tb_lib:cookie())),
            ?assertEqual(nomatch, string:find(Out ++ Err, "wrong"))
        end
     || Args <- [[text(N)], [text(node())], [text(N), "--json"]]
    ],
    {?FAILED, Out, _} = tiebeam(["-setcookie", "wrong", "--json", "ping", text(N)]),
    ?assertMatch(#{"error" := "bad_cookie", "text" := _}, decode(Out)),
    %% for one peer
    {?OK, "pong\n", ""} =
        tiebeam(["-setcookie", text(N), tb_lib:cookie(), "-setcookie", "wrong", "ping", text(N)]).

silent_node(N) ->
    Daemon = tb_lib:daemon(silent),
    tb_lib:signal(Daemon, "STOP"),
    try
        {?FAILED, "pang\n", Why} = cli(["--timeout", "1", "ping", text(tb_lib:node_of(Daemon))]),
        contains("1 s", Why),
        {?FAILED, #{"error" := "timeout"}} =
            json(["--timeout", "1", "ping", text(tb_lib:node_of(Daemon))])
    after
        tb_lib:signal(Daemon, "CONT"),
        tb_lib:stop(Daemon)
    end,
    ?assertEqual(x, tb_lib:call(N, {echo, x})).

nodes_verb(N) ->
    ?assertEqual({?OK, text(node()) ++ "\n", ""}, cli(["--node", text(N), "nodes"])),
    ?assertEqual({?OK, [text(node())]}, json(["--node", text(N), "nodes"])),
    {?FAILED, "", Why} = cli(["--node", absent(), "nodes"]),
    contains("knows no node", Why),
    ?assertMatch({?FAILED, #{"error" := _}}, json(["--node", absent(), "nodes"])),
    %% a BEAM node has no such process
    {?FAILED, "", NoProc} = cli(["--node", text(node()), "nodes"]),
    contains("no such process", NoProc).

status(N) ->
    {?OK, Out, ""} = cli(["--node", text(N), "status"]),
    [contains(Part, Out) || Part <- [text(N), text(node()), "0.1.0", "creation", "counters"]],
    {?OK, Json} = json(["--node", text(N), "status"]),
    Info = tb_lib:info(N),
    ?assertEqual(text(N), maps:get("name", Json)),
    ?assertEqual(maps:get(port, Info), maps:get("port", Json)),
    ?assertEqual(maps:get(creation, Info), maps:get("creation", Json)),
    ?assertEqual(true, maps:get("registered", Json)),
    #{"nodes" := #{} = Nodes} = Json,
    ?assertEqual([text(node())], maps:keys(Nodes)),
    #{"type" := "visible"} = maps:get(text(node()), Nodes),
    ?assertMatch({?FAILED, "", _}, cli(["--node", absent(), "status"])),
    ?assertMatch({?FAILED, #{"error" := _}}, json(["--node", absent(), "status"])).

call(N) ->
    Call = fun(Term) -> cli(["call", text(N), "tiebeam", Term]) end,
    [
        ?assertEqual({?OK, Term ++ "\n", ""}, Call("{echo," ++ Term ++ "}"))
     || Term <- [
            "x",
            "'A b'",
            "[1,2,3]",
            "\"text\"",
            "{a,[b|c],1.5}",
            "<<\"bin\">>",
            "<<1,2,3>>",
            "#{k => v}",
            "-12345678901234567890",
            "[]",
            "{}"
        ]
    ],
    ?assertEqual({?OK, "x\n", ""}, Call("{echo, x}.")),
    {?OK, Info, ""} = Call("info"),
    contains("name => " ++ quoted(N), Info),
    ?assertEqual({?OK, "{error,unknown_call}\n", ""}, Call("what")),
    {?OK, #{"reply" := "{a,\"b\"}", "ms" := _}} = json(["call", text(N), "tiebeam", "{echo,{a,\"b\"}}"]).

quoted(Atom) ->
    lists:flatten(io_lib:format("~p", [Atom])).

call_beam(_) ->
    {?OK, Out, ""} = cli(["call", text(node()), "net_kernel", "{is_auth, a}"]),
    ?assertEqual("yes\n", Out),
    Request = "{call, erlang, node, [], user}",
    ?assertEqual({?OK, quoted(node()) ++ "\n", ""}, cli(["call", text(node()), "rex", Request])).

call_failures(N) ->
    {?FAILED, "", Why} = cli(["call", text(N), "nobody", "x"]),
    contains("no such process", Why),
    ?assertMatch({?FAILED, #{"error" := "noproc"}}, json(["call", text(N), "nobody", "x"])),
    ?assertMatch({?FAILED, "", _}, cli(["call", absent(), "tiebeam", "x"])),
    %% the server ends instead of answering
    {Server, Ref} = spawn_monitor(fun() ->
        register(ending, self()),
        receive
            {'$gen_call', _, die} -> exit({some, reason})
        end
    end),
    tb_lib:until(fun() -> whereis(ending) =:= Server end),
    {?FAILED, "", Ended} = cli(["call", text(node()), "ending", "die"]),
    contains("{some,reason}", Ended),
    receive
        {'DOWN', Ref, process, Server, {some, reason}} -> ok
    end.

bad_terms(N) ->
    [
        begin
            {Status, "", Err} = cli(["call", text(N), "tiebeam", Term]),
            ?assertEqual(?USAGE, Status),
            contains("column " ++ Column, Err)
        end
     || {Term, Column} <- [{"{echo", "6"}, {"[1,,2]", "4"}, {"{a b}", "4"}, {"'open", ""}, {"}", "1"}]
    ],
    ?assertMatch({?USAGE, _, _}, cli(["call", text(N), "tiebeam", ""])).

call_timeout(N) ->
    ok = sys:suspend({rex, N}),
    {?FAILED, "", Why} = cli(["--timeout", "1", "call", text(N), "rex", "x"]),
    ok = sys:resume({rex, N}),
    contains("no answer in time", Why).

many_at_once(N) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Term = integer_to_list(I),
            Self ! {self(), cli(["call", text(N), "tiebeam", "{echo," ++ Term ++ "}"]), Term}
        end)
     || I <- lists:seq(1, 20)
    ],
    [
        receive
            {P, Result, Term} -> ?assertEqual({?OK, Term ++ "\n", ""}, Result)
        end
     || P <- Pids
    ].

nothing_left(N) ->
    Known = nodes(known),
    Base = tb_lib:tables(N),
    [{?OK, _, _} = cli(["ping", text(Node)]) || Node <- [N, node()], _ <- lists:seq(1, 10)],
    tb_lib:until_equal(Base, fun() -> tb_lib:tables(N) end),
    %% a BEAM keeps each node's name for ever: here it is one name, again
    New = nodes(known) -- Known,
    ?assert(length(New) =< 1),
    tb_lib:until_equal([], fun() ->
        {ok, Names} = net_adm:names(),
        [Name || {Name, _} <- Names, string:find(Name, "cli_") =/= nomatch, Name =/= own()]
    end).

%% Nobody's log shall be full of them; level info has them still.
no_news(_) ->
    Config = [{tiebeam, [{discovery, []}, {log, [{level, info}]}]}],
    [
        begin
            Daemon = tb_lib:daemon(quiet, Options),
            N = tb_lib:node_of(Daemon),
            [{?OK, _, _} = cli(["ping", text(N)]) || _ <- [1, 2]],
            pong = net_adm:ping(N),
            Output = tb_lib:output(Daemon),
            ?assertMatch({match, [_]}, re:run(Output, "notice: .node.up. node=", [global])),
            Told = re:run(Output, "info: .node.(up|down). node=tiebeam_cli_", [global]),
            ?assertEqual(Level =:= info, Told =/= nomatch),
            tb_lib:stop(Daemon)
        end
     || {Level, Options} <- [{notice, #{}}, {info, #{config => Config}}]
    ].

own() ->
    hd(string:split(text(node()), "@")).

%% ----------------------------------------------------------- configuration

show_config(_) ->
    {?OK, Out, ""} = cli(["-sname", "shown", "--log-level", "error", "show-config"]),
    contains("shown@" ++ tb_lib:host(), Out),
    ?assertEqual(nomatch, string:find(Out, tb_lib:cookie())),
    Lines = [string:lexemes(L, " ") || L <- string:lexemes(Out, "\n")],
    ?assertMatch([["log_level", "error", "flag" | _]], [L || ["log_level" | _] = L <- Lines]).

check_good(_) ->
    File = config("good.config", "[{tiebeam, [{discovery, []}, {log, [{level, info}]}]}]."),
    ?assertEqual({?OK, File ++ ": ok\n", ""}, cli(["check-config", File])),
    ?assertEqual({?OK, #{"file" => File, "errors" => []}}, json(["check-config", File])),
    %% a release's file has more in it
    Release = config("sys.config", "[{kernel, [{logger, []}, {net_ticktime, 8}]}, {my_app, [{a, b}]}]."),
    ?assertMatch({?OK, _, ""}, cli(["check-config", Release])),
    ?assertMatch({?OK, _, ""}, cli(["-config", Release, "check-config"])),
    {?OK, Out, ""} = cli(["-config", Release, "show-config"]),
    contains("file " ++ Release ++ ":1", Out).

config(Name, Text) ->
    File = tb_lib:tmp(Name),
    ok = file:write_file(File, unicode:characters_to_binary(Text)),
    File.

%% Each line of this file is wrong, but the first and the last.
check_broken(_) ->
    File = config("broken.config", [
        "[{tiebeam, [\n",
        "  {discovry, []},\n",
        "  {max_queue, large},\n",
        "  {max_frame, 1},\n",
        "  {discovery, [{d, [{interval, soon},\n",
        "                    {source, {dnss, \"x\"}}]}]},\n",
        "  {log, [{level, loud}]},\n",
        "  {sname, 17}\n",
        "]}].\n"
    ]),
    {Status, "", Err} = cli(["check-config", File]),
    ?assertEqual(?USAGE, Status),
    [contains(File ++ ":" ++ integer_to_list(Line) ++ ": ", Err) || Line <- lists:seq(2, 8)],
    contains("did you mean discovery?", Err),
    {?USAGE, #{"file" := File, "errors" := Errors}} = json(["check-config", File]),
    ?assertEqual(7, length(Errors)),
    %% text that is no Erlang
    Syntax = config("syntax.config", "[{tiebeam,\n  [{log, [}]}].\n"),
    {?USAGE, "", SyntaxErr} = cli(["check-config", Syntax]),
    contains(Syntax ++ ":2: ", SyntaxErr),
    contains("expected", SyntaxErr),
    Empty = config("empty.config", ""),
    ?assertMatch({?USAGE, "", _}, cli(["check-config", Empty])).

check_missing(_) ->
    {?USAGE, "", Err} = cli(["check-config", tb_lib:tmp("no.config")]),
    contains("no.config", Err),
    {?USAGE, "", Which} = cli(["check-config"]),
    contains("give a FILE", Which).

broken_start(_) ->
    File = config("broken_start.config", "[{tiebeam, [{what, 1}]}]."),
    {?USAGE, "", Err} = cli(["-sname", "broken", "-config", File]),
    contains(File ++ ":1: ", Err),
    {ok, Names} = net_adm:names(),
    ?assertNot(lists:keymember("broken", 1, Names)).

%% ------------------------------------------------------------------- about

about(_) ->
    ?assertMatch({?OK, "tiebeam " ++ _, ""}, tiebeam(["--version"])),
    {?OK, Help, ""} = tiebeam(["--help"]),
    [contains(Word, Help) || Word <- ["Usage:", "ping", "check-config", "-setcookie", "--json"]],
    ?assertEqual({?OK, Help, ""}, tiebeam(["-h"])),
    {?OK, Messages, ""} = tiebeam(["--messages"]),
    [contains(Word, Messages) || Word <- ["net_kernel", "{is_auth, _}", "{echo, Term}", "has_ran"]].

unknown(_) ->
    {?USAGE, "", Verb} = cli(["pin", "x"]),
    contains("did you mean ping?", Verb),
    {?USAGE, "", Flag} = tiebeam(["--cokie", "x"]),
    contains("--cokie", Flag),
    ?assertMatch({?USAGE, "", _}, cli(["ping"])),
    ?assertMatch({?USAGE, "", _}, cli(["ping", "a@b", "c@d"])),
    ?assertMatch({?USAGE, "", _}, cli(["--timeout", "soon", "ping", "a@b"])),
    ?assertMatch({?USAGE, "", _}, cli(["--epmd-port", "0", "ping", "a@b"])).

%% As erl has it: in the home directory, and readable by nobody else.
cookie_file(N) ->
    Home = tb_lib:tmp("home"),
    File = filename:join(Home, ".erlang.cookie"),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, tb_lib:cookie() ++ "\n"),
    ok = file:change_mode(File, 8#400),
    Env = [{"HOME", Home}],
    ?assertEqual({?OK, "pong\n", ""}, tiebeam(["ping", text(N)], Env)),
    ok = file:change_mode(File, 8#644),
    {77, "", Err} = tiebeam(["ping", text(N)], Env),
    contains(File, Err),
    %% made where there is none
    ok = file:change_mode(File, 8#600),
    ok = file:delete(File),
    {?FAILED, "pang\n", Why} = tiebeam(["ping", text(N)], Env),
    contains("cookies differ", Why),
    {ok, Made} = file:read_file(File),
    ?assert(byte_size(Made) >= 20).
