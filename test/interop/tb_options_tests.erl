%% tb_options_tests - a supervisor is told of other options while it runs: by
%% request, by SIGHUP, through one of several tiebeam nodes.
-module(tb_options_tests).
-include_lib("eunit/include/eunit.hrl").

-define(TIMEOUT, 120).
-define(NAME, jobs).
-define(SLOW, 30000).

-spec options_test_() -> tuple().
options_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(_) ->
        [
            {timeout, ?TIMEOUT, {Title, Case}}
         || {Title, Case} <- tb_lib:chosen(cases())
        ]
    end}.

setup() ->
    tb_lib:join(aa_options).

cleanup(Epmd) ->
    tb_lib:leave(Epmd).

cases() ->
    [
        {"reconfigure: limits count from then", fun limits/0},
        {"reconfigure: what is refused changes nothing", fun refused/0},
        {"reconfigure: the supervisor comes back with them", fun comes_back/0},
        {"reconfigure: other hosts", fun hosts/0},
        {"reconfigure: hosts that contain the module, and no others", fun contain/0},
        {"reconfigure: the global name, taken and given up", fun global/0},
        {"the global name, without process clusters", fun global_off/0},
        {"reconfigure: another locator, and no balance by itself", fun no_balance/0},
        {"a host that is gone from a node that is up", fun gone/0},
        {"each host backs up another one, and few change", fun ring/0},
        {"two tiebeam nodes: both have them, whichever is told", fun two/0},
        {"another file, and nobody else: it decides after a while", fun imposed/0},
        {"SIGHUP: supervisors change, come and go", fun sighup/0}
    ].

%% ----------------------------------------------------------------- helpers

config(Options) ->
    [{tiebeam, [{discovery, []}, {supervisors, [{?NAME, [{hosts, proplists:get_value(hosts, Options, all)} | proplists:delete(hosts, Options)]}]}]}].

daemon(Name, Options) ->
    tb_lib:daemon(Name, #{config => config(Options)}).

host(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    Beam.

join(Nodes, Node) ->
    _ = [rpc:call(N, net_kernel, connect_node, [Node]) || N <- Nodes],
    ok.

with(HostNames, Options, Fun) ->
    Beams = [host(N) || N <- HostNames],
    Nodes = lists:sort([tb_lib:node_of(B) || B <- Beams]),
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => config(Options)}, fun(Daemon, Node) ->
            join(Nodes, Node),
            are_hosts(Node, Nodes),
            Fun(Node, Nodes, Daemon)
        end)
    after
        lists:foreach(fun tb_lib:end_beam/1, Beams)
    end.

are_hosts(Node, Nodes) ->
    tb_lib:until_equal(Nodes, fun() -> ask(Node, hosts) end, ?SLOW).

ask(Node, Request) ->
    try
        gen_server:call({?NAME, Node}, Request, ?SLOW)
    catch
        exit:{Reason, _} -> {exit, Reason}
    end.

dynamic(Arg) ->
    {{tb_kid, start_link, [Arg]}, permanent, 5000, worker, [tb_kid]}.

start(Node, Args) ->
    Pids = [P || {ok, P} <- ask(Node, {start_children, [dynamic(A) || A <- Args]})],
    ?assertEqual(length(Args), length(Pids)),
    lists:sort(Pids).

pids(Node) ->
    case ask(Node, which_children) of
        List when is_list(List) -> lists:sort([P || {_, P, _, _} <- List]);
        Other -> Other
    end.

option(Node, Key) ->
    case ask(Node, info) of
        #{options := Options} -> proplists:get_value(Key, Options);
        Other -> Other
    end.

owner(Node) ->
    maps:get(owner, ask(Node, info), none).

%% ----------------------------------------------------------------- requests

limits() ->
    with([h1, h2], [{max_children, 2}], fun(Node, _, _) ->
        Pids = start(Node, [1, 2]),
        ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(3)})),
        ?assertEqual(ok, ask(Node, {reconfigure, [{max_children, 3}]})),
        {ok, Third} = ask(Node, {start_child, dynamic(3)}),
        ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(4)})),
        %% what was not named is what it was
        ?assertEqual(all, option(Node, hosts)),
        ?assertEqual(ok, ask(Node, {reconfigure, [{max_children, infinity}, {extra_arguments, [x]}]})),
        ?assertEqual(lists:sort([Third | Pids]), pids(Node)),
        %% the next one gets the argument, which it does not take
        ?assertMatch({error, {undef, _}}, ask(Node, {start_child, dynamic(4)})),
        ?assertEqual(ok, ask(Node, {reconfigure, [{extra_arguments, []}, {backoff, {10, 100}}, {max_restarts, 0}]})),
        exit(Third, kill),
        tb_lib:until(fun() ->
            Now = pids(Node),
            length(Now) =:= 3 andalso lists:all(fun erlang:is_pid/1, Now) andalso not lists:member(Third, Now)
        end),
        ?assertEqual([], Pids -- pids(Node))
    end).

refused() ->
    with([h1], [], fun(Node, _, _) ->
        Before = maps:get(options, ask(Node, info)),
        Wrong = fun(Options) -> ask(Node, {reconfigure, Options}) end,
        ?assertEqual({error, {supervisor_data, {invalid_intensity, -1}}}, Wrong([{max_restarts, -1}])),
        ?assertEqual({error, {supervisor_data, {invalid_strategy, one_for_all}}}, Wrong([{strategy, one_for_all}])),
        ?assertEqual({error, {supervisor_data, {invalid_name, x}}}, Wrong([{name, x}])),
        ?assertEqual({error, {supervisor_data, {invalid_type, foo}}}, Wrong(foo)),
        ?assertEqual({error, {supervisor_data, {invalid_option, foo}}}, Wrong([{max_restarts, 1}, foo])),
        ?assertEqual(Before, maps:get(options, ask(Node, info))),
        ?assertEqual(ok, tiebeam_supervisor:reconfigure({?NAME, Node}, []))
    end).

comes_back() ->
    with([h1], [], fun(Node, Nodes, _) ->
        [Pid] = start(Node, [1]),
        ok = ask(Node, {reconfigure, [{max_children, 1}, {move_concurrency, 7}]}),
        exit(tb_lib:pid_of(Node, ?NAME), kill),
        are_hosts(Node, Nodes),
        ?assertEqual([Pid], pids(Node)),
        ?assertEqual(1, option(Node, max_children)),
        ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(2)})),
        ?assertMatch(#{owning := true, options_differ := false}, ask(Node, info))
    end).

hosts() ->
    with([h1, h2, h3], [{settle_ms, 0}], fun(Node, [H1, H2, H3] = Nodes, _) ->
        Args = lists:seq(1, 60),
        Pids = start(Node, Args),
        ?assertEqual(Nodes, lists:usort([node(P) || P <- Pids])),
        ok = ask(Node, {reconfigure, [{hosts, {nodes, [H1, H2]}}]}),
        tb_lib:until_equal([H1, H2], fun() -> ask(Node, hosts) end),
        tb_lib:until_equal([H1, H2], fun() -> lists:usort([node(P) || P <- pids(Node), is_pid(P)]) end, ?SLOW),
        tb_lib:until_equal(60, fun() -> length([P || P <- pids(Node), is_pid(P)]) end, ?SLOW),
        ?assertMatch(#{H3 := #{state := not_listed}}, maps:get(hosts, ask(Node, info))),
        ok = ask(Node, {reconfigure, [{hosts, all}]}),
        are_hosts(Node, Nodes),
        tb_lib:until_equal(Nodes, fun() -> lists:usort([node(P) || P <- pids(Node), is_pid(P)]) end, ?SLOW)
    end).

%% A node whose release contains tiebeam_host, and starts it.
release(Name) ->
    Beam = host(Name),
    Node = tb_lib:node_of(Beam),
    {ok, Module} = file:read_file(os:getenv("HOST_BEAM")),
    Dir = tb_lib:tmp("release"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    ok = file:write_file(filename:join(Dir, "tiebeam_host.beam"), Module),
    true = rpc:call(Node, code, add_patha, [Dir]),
    {ok, _} = rpc:call(Node, supervisor, start_child, [kernel_safe_sup, host_spec()]),
    Beam.

%% No tiebeam saw it go, and nobody starts it again: the copies tell of it.
gone() ->
    Beams = [release(N) || N <- [h1, h2]],
    [H1, H2] = Nodes = [tb_lib:node_of(B) || B <- Beams],
    Config = #{config => config([{hosts, module}])},
    try
        tb_lib:with_daemon(zz_tiebeam, Config, fun(_, Node) ->
            join(Nodes, Node),
            are_hosts(Node, Nodes),
            _ = start(Node, lists:seq(1, 20)),
            ?assertEqual({20, Nodes}, where(Node)),
            tb_lib:until(fun() -> maps:get(safe, ask(Node, info)) end)
        end),
        exit(rpc:call(H1, erlang, whereis, [tiebeam_host_jobs]), kill),
        tb_lib:with_daemon(zz_tiebeam, Config, fun(_, Node) ->
            join(Nodes, Node),
            tb_lib:until_equal({20, [H2]}, fun() -> where(Node) end, ?SLOW),
            ?assertEqual(ok, ask(Node, {forget, H1})),
            tb_lib:until_equal([H2], fun() -> maps:get(set, ask(Node, info)) end, ?SLOW)
        end)
    after
        [tb_lib:put_away(B) || B <- Beams]
    end.

ring() ->
    Beams = [host(N) || N <- [h1, h2, h3, h4]],
    [H1, H2, H3, H4] = Nodes = [tb_lib:node_of(B) || B <- Beams],
    Backups = fun(Node) ->
        [B || {_, #{backup := B, state := attached}} <- lists:sort(maps:to_list(maps:get(hosts, ask(Node, info))))]
    end,
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => config([])}, fun(_, Node) ->
            join(Nodes, Node),
            are_hosts(Node, Nodes),
            tb_lib:until_equal([H2, H3, H4, H1], fun() -> Backups(Node) end, ?SLOW),
            tb_lib:end_beam(lists:nth(2, Beams)),
            tb_lib:until_equal([H3, H4, H1], fun() -> Backups(Node) end, ?SLOW)
        end)
    after
        [tb_lib:put_away(B) || B <- Beams]
    end.

%% One host's release contains tiebeam_host; the others were sent it.
contain() ->
    Main = release(h1),
    Own = tb_lib:node_of(Main),
    Others = [host(N) || N <- [h2, h3]],
    [H2, H3] = [tb_lib:node_of(B) || B <- Others],
    Nodes = [Own, H2, H3],
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => config([{settle_ms, 0}])}, fun(_, Node) ->
            join(Nodes, Node),
            are_hosts(Node, Nodes),
            _ = start(Node, lists:seq(1, 60)),
            ok = ask(Node, {reconfigure, [{hosts, module}]}),
            tb_lib:until_equal([Own], fun() -> ask(Node, hosts) end, ?SLOW),
            tb_lib:until_equal({60, [Own]}, fun() -> where(Node) end, ?SLOW),
            #{hosts := Hosts} = ask(Node, info),
            ?assertMatch(#{Own := #{state := attached}, H2 := #{state := no_module}, H3 := #{state := no_module}}, Hosts),
            %% nothing is kept on them, and one that goes is no loss
            tb_lib:until(fun() -> [B || #{backup := B} <- maps:values(maps:get(hosts, ask(Node, info))), lists:member(B, [H2, H3])] =:= [] end),
            tb_lib:end_beam(hd(Others)),
            tb_lib:until_equal([Own, H3], fun() -> maps:get(set, ask(Node, info)) end, ?SLOW),
            %% and they are hosts again
            ok = ask(Node, {reconfigure, [{hosts, all}]}),
            are_hosts(Node, [Own, H3]),
            tb_lib:until_equal({60, [Own, H3]}, fun() -> where(Node) end, ?SLOW)
        end),
        %% a tiebeam that begins so takes none of these, which run a tiebeam_host
        tb_lib:with_daemon(zz_tiebeam, #{config => config([{hosts, module}])}, fun(_, Node) ->
            join([Own, H3], Node),
            tb_lib:until(fun() -> maps:get(owning, ask(Node, info)) =:= true end, ?SLOW),
            tb_lib:until_equal([Own], fun() -> ask(Node, hosts) end, ?SLOW)
        end)
    after
        [tb_lib:put_away(B) || B <- [Main | Others]]
    end.

host_spec() ->
    #{
        id => {tiebeam_host, ?NAME},
        start => {tiebeam_host, start_link, [?NAME]},
        restart => temporary,
        shutdown => infinity,
        type => supervisor
    }.

%% How many children run, and where.
where(Node) ->
    Pids = [P || P <- pids(Node), is_pid(P)],
    {length(Pids), lists:usort([node(P) || P <- Pids])}.

global() ->
    with([h1, h2], [], fun(Node, [H1, H2], _) ->
        Pid = tb_lib:pid_of(Node, ?NAME),
        Is = fun(What) ->
            [tb_lib:until_equal(What, fun() -> rpc:call(H, global, whereis_name, [?NAME]) end) || H <- [H1, H2]]
        end,
        Is(undefined),
        [
            begin
                ?assertEqual(ok, ask(Node, {reconfigure, [{global, true}]})),
                Is(Pid),
                ?assertEqual(ok, ask(Node, {reconfigure, [{global, false}]})),
                Is(undefined)
            end
         || _ <- [1, 2]
        ],
        %% the service that holds it ends: it is not taken again
        exit(tb_lib:pid_of(Node, process_cluster), kill),
        ok = ask(Node, {reconfigure, [{max_children, 7}]}),
        ?assertEqual(ok, ask(Node, {reconfigure, [{global, true}]})),
        ?assertEqual(ok, ask(Node, {reconfigure, [{global, false}]})),
        ?assertEqual(ok, ask(Node, {reconfigure, [{global, true}]})),
        Is(Pid),
        ?assertEqual(Pid, tb_lib:pid_of(Node, ?NAME))
    end).

%% What is missing is said once, and taken when it is there.
global_off() ->
    Config = fun(Clusters) ->
        [{tiebeam, [{discovery, []}, {process_clusters, Clusters}, {supervisors, [{?NAME, [{hosts, all}, {global, true}]}]}]}]
    end,
    Beam = tb_lib:beam(h1),
    try
        tb_lib:with_daemon(zz_tiebeam, #{config => Config(off)}, fun(Daemon, Node) ->
            H = tb_lib:node_of(Beam),
            tb_lib:link(H, Node),
            tb_lib:until_equal(no_process_clusters, fun() -> maps:get(global, ask(Node, info)) end),
            ok = sys:log({?NAME, Node}, {true, 1000}),
            Until = erlang:monotonic_time(millisecond) + 2500,
            tb_lib:until(fun() -> erlang:monotonic_time(millisecond) > Until end),
            {ok, Log} = sys:log({?NAME, Node}, get),
            Count = fun(Message) -> length([M || {in, M} <- Log, M =:= Message]) end,
            ?assert(Count(tick) > 0),
            ?assert(Count(join) =< 1),
            ?assertEqual(undefined, rpc:call(H, global, whereis_name, [?NAME])),
            Output = tb_lib:wait_output(Daemon, "process_clusters is off"),
            ?assertEqual(1, length(binary:matches(Output, <<"no_clusters">>))),
            ok = tb_lib:reload(Daemon, zz_tiebeam, Config([])),
            Pid = tb_lib:pid_of(Node, ?NAME),
            tb_lib:until_equal(Pid, fun() -> rpc:call(H, global, whereis_name, [?NAME]) end),
            ?assertEqual(true, maps:get(global, ask(Node, info)))
        end)
    after
        tb_lib:end_beam(Beam)
    end.

no_balance() ->
    with([h1, h2], [{auto_balance, false}], fun(Node, [H1, H2] = Nodes, _) ->
        Pids = start(Node, lists:seq(1, 30)),
        ok = ask(Node, {reconfigure, [{locator, rendezvous}, {hosts, {nodes, [H2]}}]}),
        tb_lib:until_equal([H2], fun() -> ask(Node, hosts) end),
        ?assertEqual(rendezvous, option(Node, locator)),
        ?assertEqual(Pids, pids(Node)),
        %% on request they go
        ok = ask(Node, rebalance),
        tb_lib:until_equal({30, [H2]}, fun() -> where(Node) end, ?SLOW),
        ok = ask(Node, {reconfigure, [{hosts, {nodes, Nodes}}]}),
        are_hosts(Node, [H1, H2]),
        Stay = pids(Node),
        {ok, _} = ask(Node, {start_child, dynamic(x)}),
        ?assertEqual([], Stay -- pids(Node))
    end).

two() ->
    with([h1, h2], [], fun(Z, Nodes, _) ->
        A_daemon = daemon(aa_tiebeam, []),
        A = tb_lib:node_of(A_daemon),
        join(Nodes, A),
        are_hosts(A, Nodes),
        tb_lib:until_equal(A, fun() -> owner(Z) end, ?SLOW),
        Told = fun(Who, N) ->
            ?assertEqual(ok, ask(Who, {reconfigure, [{max_children, N}]})),
            [tb_lib:until_equal(N, fun() -> option(On, max_children) end) || On <- [A, Z]]
        end,
        _ = Told(Z, 10),
        _ = Told(A, 2),
        start(Z, [1, 2]),
        ?assertEqual({error, max_children}, ask(A, {start_child, dynamic(3)})),
        [?assertMatch(#{options_differ := false}, ask(On, info)) || On <- [A, Z]],
        %% also when the other one decides
        tb_lib:stop(A_daemon),
        tb_lib:until_equal(Z, fun() -> owner(Z) end, ?SLOW),
        ?assertEqual({error, max_children}, ask(Z, {start_child, dynamic(3)}))
    end).

%% The file was changed, and the daemon started again.
imposed() ->
    Beam = host(h1),
    Nodes = [tb_lib:node_of(Beam)],
    First = daemon(zz_tiebeam, []),
    Node = tb_lib:node_of(First),
    try
        join(Nodes, Node),
        are_hosts(Node, Nodes),
        Pids = start(Node, [1, 2, 3]),
        tb_lib:stop(First),
        tb_lib:with_daemon(zz_tiebeam, #{config => config([{max_children, 3}])}, fun(Second, _) ->
            join(Nodes, Node),
            tb_lib:until(fun() -> maps:get(options_differ, ask(Node, info)) end),
            tb_lib:wait_output(Second, "options_differ"),
            are_hosts(Node, Nodes),
            tb_lib:wait_output(Second, "options_imposed"),
            ?assertEqual(Pids, pids(Node)),
            ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(4)})),
            ?assertMatch(#{options_differ := false, owning := true}, ask(Node, info)),
            %% one that comes with the old ones does not decide
            A_daemon = daemon(aa_tiebeam, []),
            A = tb_lib:node_of(A_daemon),
            join(Nodes, A),
            tb_lib:until(fun() -> maps:get(options_differ, ask(A, info)) end),
            ?assertMatch(#{owner := Node}, ask(A, info)),
            %% till it is told of these
            ?assertEqual(ok, ask(A, {reconfigure, [{max_children, 3}]})),
            tb_lib:until_equal(A, fun() -> owner(A) end, ?SLOW),
            tb_lib:stop(A_daemon)
        end)
    after
        tb_lib:end_beam(Beam)
    end.

%% ------------------------------------------------------------------- SIGHUP

sighup() ->
    with([h1], [], fun(Node, Nodes, Daemon) ->
        Reload = fun(Supervisors) ->
            tb_lib:reload(Daemon, zz_tiebeam, [{tiebeam, [{discovery, []}, {supervisors, Supervisors}]}])
        end,
        [Pid] = start(Node, [1]),
        Reload([{?NAME, [{hosts, all}, {max_children, 1}]}, {more, [{hosts, all}]}]),
        tb_lib:until_equal(1, fun() -> option(Node, max_children) end),
        tb_lib:until(fun() -> tb_lib:outcome(fun() -> gen_server:call({more, Node}, hosts) end) =:= {value, Nodes} end),
        ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(2)})),
        %% it goes, and its child stays
        Reload([{more, [{hosts, all}, {max_children, 5}]}]),
        tb_lib:until_equal(undefined, fun() -> tb_lib:pid_of(Node, ?NAME) end),
        ?assert(tb_lib:alive(Pid)),
        tb_lib:wait_output(Daemon, "key=supervisors.jobs ended: its children run on"),
        tb_lib:wait_output(Daemon, "key=supervisors.more\n"),
        %% a file with an error changes nothing
        Reload([{more, [{max_children, -1}]}]),
        tb_lib:wait_output(Daemon, "config.refused"),
        %% and is back
        Reload([{more, [{hosts, all}, {max_children, 5}]}, {?NAME, [{hosts, all}, {max_children, 1}]}]),
        tb_lib:until(fun() -> tb_lib:pid_of(Node, ?NAME) =/= undefined end),
        tb_lib:until_equal([Pid], fun() -> pids(Node) end),
        ?assertEqual({error, max_children}, ask(Node, {start_child, dynamic(2)}))
    end).
