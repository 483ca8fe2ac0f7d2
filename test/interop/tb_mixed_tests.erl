%% tb_mixed_tests - two OTP releases and a daemon in one cluster: this VM, and
%% one that $TB_OTHER_ERL starts, an erl that finds these modules compiled for
%% it. What the table suite asks of each release is not asked again; here terms
%% and identifiers of one release go through the daemon to the other.
%%
%% OTP 26 and later do not connect to OTP 23; the daemon is connected to both.
%% So the two speak with each other through it: a bridge on either side runs
%% what the other asks for. Nothing here is newer than OTP 23.
-module(tb_mixed_tests).
-include_lib("eunit/include/eunit.hrl").

%% on the other node
-export([begin_other/1, bridge/1, seen/1, carry_all/3, post_wide/2, stop_wide/1]).
-export([use_pid/1, watch/1, outcome/1, serve/0, start/2]).

-define(TIMEOUT, 300).
-define(PATIENCE, 15000).

-record(world, {
    epmd :: [tb_lib:program()],
    daemon :: tb_lib:program(),
    other :: tb_lib:program(),
    %% the daemon's node
    node :: node(),
    %% the bridges of this node and of the other
    here :: pid(),
    there :: pid(),
    %% whether the two connect to each other
    near :: boolean()
}).

-spec mixed_test_() -> tuple().
mixed_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(W) ->
        Otp = run_there(W, tb_lib, otp, []),
        Near = W#world.near,
        Some = near_cases(Near) ++ far_cases(not Near andalso tb_lib:otp() < Otp),
        Cases = [{Title, fun() -> clean(Case, W) end} || {Title, Case} <- cases() ++ Some],
        Last = {"one of them is killed", fun() -> killed(W) end},
        [
            {timeout, ?TIMEOUT, {title(Otp, Title), Case}}
         || {Title, Case} <- tb_lib:chosen(Cases ++ [Last])
        ]
    end}.

title(Otp, Title) ->
    lists:flatten(io_lib:format("OTP ~B and ~B: ~s", [tb_lib:otp(), Otp, Title])).

%% OTP 26 made mandatory what OTP 24 brought.
connects(Otp) ->
    min(Otp, tb_lib:otp()) >= 24 orelse max(Otp, tb_lib:otp()) =< 25.

cases() ->
    [
        {"who is connected to whom", fun connected/1},
        {"calls of both", fun calls/1},
        {"rpc and erpc of both", fun rpcs/1},
        {"terms of either, through the daemon, to the other and back", fun terms/1},
        {"monitors and links of both end alike", fun watchers/1}
    ].

near_cases(true) ->
    [
        {"a pid of this node, used by the other", fun our_pid/1},
        {"a pid of the other node, used here", fun their_pid/1}
    ];
near_cases(false) ->
    [].

%% This VM is the older one.
far_cases(true) ->
    [{"what the older one cannot read is dropped", fun wide_terms/1}];
far_cases(false) ->
    [].

setup() ->
    Epmd = tb_lib:join(mixed),
    Daemon = tb_lib:daemon(tb, #{config => tb_lib:still()}),
    N = tb_lib:node_of(Daemon),
    pong = net_adm:ping(N),
    Other = start_other(N),
    There =
        receive
            {bridge, {begun, Pid}} -> Pid
        after ?PATIENCE -> error({no_bridge, tb_lib:output(Other)})
        end,
    Here = spawn(?MODULE, bridge, [N]),
    _ = net_adm:ping(tb_lib:node_of(Other)),
    W = #world{epmd = Epmd, daemon = Daemon, other = Other, node = N, here = Here, there = There, near = true},
    W#world{near = connects(run_there(W, tb_lib, otp, []))}.

start_other(N) ->
    Begin = base64:encode_to_string(term_to_binary({N, self()})),
    {Erl, Args} = other_erl(os:getenv("TB_OTHER_ERL", "")),
    Program = tb_lib:start(
        Erl,
        Args ++ ["-sname", tb_lib:name(other), "-setcookie", tb_lib:cookie(), "-noinput", "-start_epmd", "false"] ++
            ["-kernel", "prevent_overlapping_partitions", "false"] ++
            ["-run", ?MODULE_STRING, "begin_other", Begin]
    ),
    Program#{node := list_to_atom(tb_lib:name(other) ++ "@" ++ tb_lib:host())}.

%% Without another release the second VM is of this one.
other_erl("") -> {filename:join([code:root_dir(), "bin", "erl"]), ["-pa", filename:dirname(code:which(?MODULE))]};
other_erl(Erl) -> {Erl, []}.

cleanup(#world{epmd = Epmd, daemon = Daemon, other = Other, here = Here}) ->
    exit(Here, kill),
    tb_lib:stop(Daemon),
    tb_lib:end_beam(Other),
    tb_lib:leave(Epmd).

%% A case leaves nothing behind, here and in the daemon.
clean(Case, #world{node = N} = W) ->
    Before = tb_lib:tables(N),
    [] = tb_lib:flush(),
    Case(W),
    ?assertEqual([], tb_lib:flush()),
    tb_lib:until_equal(Before, fun() -> tb_lib:tables(N) end).

%% ------------------------------------------------------------------- cases

connected(#world{node = N, other = Other, near = Near} = W) ->
    B = tb_lib:node_of(Other),
    ?assertEqual(Near, pong =:= net_adm:ping(B)),
    ?assertEqual([B || Near], nodes()),
    ?assertEqual([node() || Near], run_there(W, erlang, nodes, [])),
    ?assertEqual([N], nodes(hidden)),
    ?assertEqual([N], run_there(W, erlang, nodes, [hidden])),
    ?assertEqual(lists:sort([node(), B]), lists:sort(tb_lib:call(N, {nodes, visible}))).

calls(#world{node = N} = W) ->
    Request = {echo, [a, 1, "b"]},
    ?assertEqual([a, 1, "b"], gen_server:call({tiebeam, N}, Request)),
    ?assertEqual([a, 1, "b"], run_there(W, gen_server, call, [{tiebeam, N}, Request])),
    Pid = run_there(W, rpc, call, [N, erlang, whereis, [tiebeam]]),
    ?assertEqual(Pid, rpc:call(N, erlang, whereis, [tiebeam])),
    ?assertEqual([a, 1, "b"], gen_server:call(Pid, Request)),
    ?assertMatch(
        {badrpc, {'EXIT', {noproc, {gen_server, call, [{nobody, N} | _]}}}},
        run_there(W, rpc, call, [tb_lib:node_of(W#world.other), gen_server, call, [{nobody, N}, x]])
    ).

rpcs(#world{node = N} = W) ->
    ?assertEqual(N, erpc:call(N, erlang, node, [])),
    ?assertEqual(N, run_there(W, erpc, call, [N, erlang, node, []])),
    ?assertEqual({[N], []}, run_there(W, rpc, multicall, [[N], erlang, node, []])),
    ?assertMatch({badrpc, {'EXIT', {undef, _}}}, run_there(W, rpc, call, [N, lists, seq, [1, 2]])).

terms(#world{node = N, here = Here, there = There, near = Near} = W) ->
    ?assertEqual([], carry_all(N, There, Near)),
    ?assertEqual([], run_there(W, ?MODULE, carry_all, [N, Here, Near])).

watchers(#world{node = N} = W) ->
    Pid = tb_lib:pid_of(N, tiebeam),
    Ours = start(watch, [N]),
    Theirs = run_there(W, ?MODULE, start, [watch, [N]]),
    ?assertEqual(watching, outcome(Ours)),
    ?assertEqual(watching, run_there(W, ?MODULE, outcome, [Theirs])),
    exit(Pid, kill),
    Ended = {{tiebeam, N}, killed, killed},
    ?assertEqual(Ended, outcome(Ours)),
    tb_lib:until(fun() -> is_pid(tb_lib:pid_of(N, tiebeam)) end),
    ?assertEqual(Ended, run_there(W, ?MODULE, outcome, [Theirs])).

our_pid(#world{node = N} = W) ->
    Server = start(serve, []),
    User = run_there(W, ?MODULE, start, [use_pid, [self()]]),
    post(N, User, Server),
    ?assertEqual({used, Server}, answer(User)).

their_pid(#world{node = N} = W) ->
    Server = run_there(W, ?MODULE, start, [serve, []]),
    User = start(use_pid, [self()]),
    post(N, User, Server),
    ?assertEqual({used, Server}, answer(User)).

%% The daemon forgets the one, and the other has all it had.
killed(#world{node = N, other = Other, here = Here}) ->
    tb_lib:signal(Other, "KILL"),
    tb_lib:until_equal([node()], fun() -> tb_lib:call(N, {nodes, connected}) end),
    ?assertEqual([], carry_all(N, Here, true)).

%% Ports and aliases of OTP 26 and later would make OTP 23 close its connection.
%% A message with one is dropped, an end gets another reason.
wide_terms(#world{node = N, there = There} = W) ->
    Before = connection(N),
    ok = run_there(W, ?MODULE, post_wide, [N, self()]),
    ?assertEqual([{bridge, that_was_all}], tb_lib:flush()),
    Ref = monitor(process, {tiebeam, N}),
    Nobody = spawn(fun() -> ok end),
    post(N, There, {run, Nobody, none, ?MODULE, stop_wide, [N]}),
    receive
        {'DOWN', Ref, process, {tiebeam, N}, Why} -> ?assertEqual(notsup, Why)
    after ?PATIENCE -> error(no_down)
    end,
    tb_lib:until(fun() -> is_pid(tb_lib:pid_of(N, tiebeam)) end),
    ?assertEqual(Before, connection(N)).

connection(N) ->
    #{nodes := #{node() := #{connection_id := Id}}} = tb_lib:info(N),
    Id.

-spec post_wide(node(), pid()) -> ok.
post_wide(N, To) ->
    post(N, To, hd(erlang:ports())),
    post(N, To, [{alias, apply(erlang, alias, [])}]),
    post(N, To, that_was_all).

-spec stop_wide(node()) -> ok.
stop_wide(N) ->
    gen_server:stop({tiebeam, N}, {shutdown, hd(erlang:ports())}, ?PATIENCE).

%% ------------------------------------------------------- through the daemon

%% A call in the name of another process: the daemon answers that one.
post(N, To, Term) ->
    {tiebeam, N} ! {'$gen_call', {To, bridge}, {echo, Term}},
    ok.

run_there(#world{node = N, there = There}, M, F, Args) ->
    run_by(N, There, M, F, Args).

run_by(N, Bridge, M, F, Args) ->
    Id = make_ref(),
    post(N, Bridge, {run, self(), Id, M, F, Args}),
    receive
        {bridge, {Id, Result}} -> Result
    after 2 * ?PATIENCE -> error({no_answer, M, F, Args})
    end.

-spec bridge(node()) -> no_return().
bridge(N) ->
    receive
        {bridge, {run, From, Id, M, F, Args}} ->
            spawn(fun() -> post(N, From, {Id, apply(M, F, Args)}) end)
    end,
    bridge(N).

%% "-run tb_mixed_tests begin_other BASE64"
-spec begin_other([string()]) -> no_return().
begin_other([Begin]) ->
    {N, Parent} = binary_to_term(base64:decode(Begin)),
    true = net_kernel:connect_node(N),
    Bridge = spawn(?MODULE, bridge, [N]),
    post(N, Parent, {begun, Bridge}),
    timer:sleep(infinity).

%% What does not come to the other bridge and back as it went, or had another
%% hash there.
-spec carry_all(node(), pid(), boolean()) -> [term()].
carry_all(N, Bridge, Near) ->
    Terms = terms_of_this_node() ++ [hd(erlang:ports()) || Near],
    [Term || Term <- Terms, run_by(N, Bridge, ?MODULE, seen, [Term]) =/= seen(Term)].

-spec seen(term()) -> {term(), non_neg_integer()}.
seen(Term) ->
    {Term, erlang:phash2(Term)}.

terms_of_this_node() ->
    X = node(),
    [
        [0, -1, 255, 256, -(1 bsl 27), 1 bsl 31, 1 bsl 59, 1 bsl 63, 1 bsl 64, -(1 bsl 2100)],
        [0.0, -0.0, 1.5, 1.0e300, 5.0e-324],
        ['', a, 'with space', list_to_atom([16#e9, 16#20ac]), list_to_atom(lists:duplicate(255, $x))],
        [<<>>, <<"text">>, <<5:3>>, <<0:1001>>, binary:copy(<<"0123456789">>, 10000)],
        [[], "string", lists:duplicate(70000, 1), [a | b], [[[[]]]]],
        {},
        list_to_tuple(lists:seq(1, 300)),
        #{},
        maps:from_list([{{I, [I]}, #{I => I}} || I <- lists:seq(1, 100)]),
        self(),
        group_leader(),
        [make_ref() || _ <- lists:seq(1, 10)],
        [fun lists:map/2, fun() -> X end, fun(Y) -> {X, Y} end]
    ].

%% -------------------------------------------------------- used on both sides

-spec start(atom(), list()) -> pid().
start(Function, Args) ->
    spawn(?MODULE, Function, Args).

answer(Pid) ->
    receive
        {Pid, What} -> What
    after 2 * ?PATIENCE -> error({no_answer, Pid})
    end.

-spec serve() -> no_return().
serve() ->
    receive
        {From, What} -> From ! {self(), What}
    end,
    serve().

%% A pid comes through the daemon: it is sent to, watched, and ended.
-spec use_pid(pid()) -> {pid(), term()}.
use_pid(Parent) ->
    process_flag(trap_exit, true),
    Pid =
        receive
            {bridge, P} when is_pid(P) -> P
        end,
    Pid ! {self(), hello},
    hello = answer(Pid),
    Ref = monitor(process, Pid),
    link(Pid),
    exit(Pid, enough),
    [
        receive
            {'DOWN', Ref, process, Pid, enough} -> ok;
            {'EXIT', Pid, enough} -> ok
        after ?PATIENCE -> error({no_signal, Pid})
        end
     || _ <- [monitor, link]
    ],
    Parent ! {self(), {used, Pid}}.

%% Monitors a service by its name, links it, and tells of both ends.
-spec watch(node()) -> {pid(), term()}.
watch(N) ->
    process_flag(trap_exit, true),
    Pid = tb_lib:pid_of(N, tiebeam),
    Ref = monitor(process, {tiebeam, N}),
    link(Pid),
    %% both signals are there once this is answered
    true = is_pid(tb_lib:pid_of(N, tiebeam)),
    tell(watching),
    {Object, Down} =
        receive
            {'DOWN', Ref, process, O, Why} -> {O, Why}
        after ?PATIENCE -> {nothing, nothing}
        end,
    Exit =
        receive
            {'EXIT', Pid, Reason} -> Reason
        after ?PATIENCE -> nothing
        end,
    tell({Object, Down, Exit}).

tell(What) ->
    receive
        {outcome, From} -> From ! {self(), What}
    end.

%% What a process that runs watch/1 has to tell next.
-spec outcome(pid()) -> term().
outcome(Pid) ->
    Pid ! {outcome, self()},
    answer(Pid).
