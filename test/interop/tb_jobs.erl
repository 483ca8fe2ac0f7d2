%% tb_jobs - hosts, a tiebeam node and many children for the suites of the
%% supervisor; and what is there in the end: by the tables of the hosts, by the
%% processes themselves, and by what tiebeam tells.
-module(tb_jobs).

-export([host/1, hosts/1, daemon/2, nodes_of/1, join/2, are_hosts/2, with/3, end_hosts/1, end_daemon/1, ending_all/1]).
-export([ask/2, ask/3, spec/1, named/1, start/2, send_starts/2, acknowledged/1]).
-export([pids/1, places/1, look/2, until_run/3, until_settled/2, kids/1]).
-export([until_at_rest/1, pause/1, seed/0]).

-define(NAME, jobs).
-define(SLOW, 30000).
%% a request that cannot go on is answered after 15 s
-define(ENDS, 20000).

%% ------------------------------------------------------------------- nodes

%% A node whose release does not contain the module.
-spec host(atom()) -> tb_lib:program().
host(Name) ->
    Beam = tb_lib:beam(Name, #{args => ["-kernel", "logger_level", "none"]}),
    Node = tb_lib:node_of(Beam),
    {module, _} = rpc:call(Node, code, ensure_loaded, [tb_kid]),
    true = rpc:call(Node, code, del_path, [filename:dirname(code:which(?MODULE))]),
    note(Beam, fun tb_lib:end_beam/1).

-spec hosts([atom()]) -> [tb_lib:program()].
hosts(Names) ->
    [host(N) || N <- Names].

%% A daemon with the one supervisor.
-spec daemon(atom(), [tuple()]) -> tb_lib:program().
daemon(Name, Options) ->
    Sups = [{?NAME, [{hosts, all}, {max_restarts, 1000000} | Options]}],
    Log = [{log, [{level, info}]} || os:getenv("TB_SHOW") =/= false],
    Daemon = tb_lib:daemon(Name, #{config => [{tiebeam, [{discovery, []}, {supervisors, Sups} | Log]}]}),
    note(Daemon, fun tb_lib:kill/1).

%% How it is ended, if nobody else does.
note(Program, End) ->
    _ = put({?MODULE, Program}, End),
    Program.

-spec nodes_of([tb_lib:program()]) -> [node()].
nodes_of(Beams) ->
    lists:sort([tb_lib:node_of(B) || B <- Beams]).

-spec join([tb_lib:program()], node()) -> ok.
join(Beams, Node) ->
    _ = [rpc:call(N, net_kernel, connect_node, [Node]) || N <- nodes_of(Beams)],
    ok.

-spec are_hosts(node(), [tb_lib:program()]) -> ok.
are_hosts(Node, Beams) ->
    tb_lib:until_equal(nodes_of(Beams), fun() -> ask(Node, hosts) end, ?SLOW).

-spec with([atom()], [tuple()], fun((node(), [tb_lib:program()], tb_lib:program()) -> Result)) -> Result.
with(Names, Options, Fun) ->
    ending_all(fun() ->
        Beams = hosts(Names),
        Daemon = daemon(zz_tiebeam, Options),
        Node = tb_lib:node_of(Daemon),
        join(Beams, Node),
        are_hosts(Node, Beams),
        Result = Fun(Node, Beams, Daemon),
        _ = erase({?MODULE, Daemon}),
        tb_lib:stop(Daemon),
        Result
    end).

%% All that Fun started ends with it, however it ends. What a daemon said is
%% shown with $TB_SHOW where it went wrong.
-spec ending_all(fun(() -> Result)) -> Result.
ending_all(Fun) ->
    try
        Fun()
    after
        Left = [{P, End} || {{?MODULE, P}, End} <- get(), erase({?MODULE, P}) =/= undefined],
        os:getenv("TB_SHOW") =/= false andalso
            [io:format(user, "~s~n", [tb_lib:output(P)]) || {P, End} <- Left, End =:= fun tb_lib:kill/1],
        [End(P) || {P, End} <- Left]
    end.

-spec end_hosts([tb_lib:program()]) -> ok.
end_hosts(Beams) ->
    [ok = tb_lib:end_beam(B) || B <- Beams, erase({?MODULE, B}) =/= undefined],
    ok.

%% With SIGKILL.
-spec end_daemon(tb_lib:program()) -> ok.
end_daemon(Daemon) ->
    _ = erase({?MODULE, Daemon}),
    tb_lib:kill(Daemon).

%% ---------------------------------------------------------------- requests

-spec ask(node(), term()) -> term().
ask(Node, Request) ->
    ask(Node, Request, ?ENDS).

-spec ask(node(), term(), pos_integer()) -> term().
ask(Node, Request, Ms) ->
    try
        gen_server:call({?NAME, Node}, Request, Ms)
    catch
        exit:{Reason, _} -> {exit, Reason}
    end.

-spec spec(term()) -> tuple().
spec(Arg) ->
    {{tb_kid, start_link, [Arg]}, permanent, 5000, worker, [tb_kid]}.

-spec named(term()) -> map().
named(Id) ->
    #{id => Id, start => {tb_kid, start_link, [Id]}}.

%% All in one request; their pids.
-spec start(node(), [term()]) -> [pid()].
start(Node, Args) ->
    [P || {ok, P} <- ask(Node, {start_children, [spec(A) || A <- Args]}, ?SLOW)].

%% One request each, none of them waited for.
-spec send_starts(node(), [term()]) -> [{term(), reference()}].
send_starts(Node, Args) ->
    [{A, gen_server:send_request({?NAME, Node}, {start_child, spec(A)})} || A <- Args].

%% {those that were answered with ok, the other answers}. A broken connection
%% is an answer; none at all is not.
-spec acknowledged([{term(), reference()}]) -> {[term()], [{term(), term()}]}.
acknowledged(Requests) ->
    Answers = [{A, gen_server:wait_response(R, ?ENDS)} || {A, R} <- Requests],
    [] = [A || {A, timeout} <- Answers],
    lists:foldr(
        fun
            ({A, {reply, {ok, _}}}, {Ok, Other}) -> {[A | Ok], Other};
            ({A, Answer}, {Ok, Other}) -> {Ok, [{A, Answer} | Other]}
        end,
        {[], []},
        Answers
    ).

%% ----------------------------------------------------------- what is there

-spec pids(node()) -> [pid() | atom()] | term().
pids(Node) ->
    case ask(Node, which_children) of
        List when is_list(List) -> lists:sort([P || {_, P, _, _} <- List]);
        Other -> Other
    end.

%% Processes that are children, whoever knows of them.
-spec kids([tb_lib:program()]) -> [pid()].
kids(Beams) ->
    lists:sort(lists:append([P || N <- nodes_of(Beams), P <- [rpc:call(N, tb_kid, kids, [])], is_list(P)])).

%% {argument, state} of each entry of the hosts.
tables(Beams) ->
    [{Arg, State} || N <- nodes_of(Beams), {_, _, {_, _, {_, _, [Arg]}, _, _, _, _, _}, State} <- table(N)].

table(Node) ->
    case rpc:call(Node, gen_server, call, [tiebeam_host_jobs, table, ?SLOW]) of
        List when is_list(List) -> List;
        {badrpc, _} -> []
    end.

%% The argument of each running child, with its pid.
-spec places([tb_lib:program()]) -> [{term(), pid()}].
places(Beams) ->
    lists:sort([{Arg, Pid} || {Arg, {running, Pid}} <- tables(Beams)]).

%% What is not as it should be.
-spec look(node(), [tb_lib:program()]) -> {[term()], [{atom(), list()}]}.
look(Node, Beams) ->
    Known =
        case pids(Node) of
            List when is_list(List) -> [P || P <- List, P =/= undefined];
            Other -> [Other]
        end,
    Tables = tables(Beams),
    Kids = kids(Beams),
    Args = lists:sort([A || {A, {running, _}} <- Tables]),
    Pids = lists:sort([P || {_, {running, P}} <- Tables]),
    Wrong = [
        {doubled, Args -- lists:usort(Args)},
        {in_no_table, Kids -- Pids},
        {dead, Pids -- Kids},
        {unknown_to_tiebeam, Pids -- Known},
        {only_known_to_tiebeam, Known -- Pids},
        {on_their_way, [E || {_, S} = E <- Tables, S =/= stopped, S =/= undefined, not is_running(S)]}
    ],
    {Args, [{What, lists:sublist(L, 5), length(L)} || {What, L} <- Wrong, L =/= []]}.

is_running({running, _}) -> true;
is_running(_) -> false.

%% Each of these runs, once; nothing else does, and all know the same.
-spec until_run(node(), [tb_lib:program()], [term()]) -> ok.
until_run(Node, Beams, Args) ->
    Sorted = lists:sort(Args),
    until_nothing(fun() ->
        {Running, Wrong} = look(Node, Beams),
        Lost = Sorted -- Running,
        More = Running -- Sorted,
        Wrong ++ [{W, lists:sublist(L, 5), length(L)} || {W, L} <- [{lost, Lost}, {more, More}], L =/= []]
    end).

%% What runs, once all know the same, and what was lost is made good.
-spec until_settled(node(), [tb_lib:program()]) -> [term()].
until_settled(Node, Beams) ->
    until_nothing(fun() ->
        element(2, look(Node, Beams)) ++ [not_safe || not maps:get(safe, ask(Node, info))]
    end),
    element(1, look(Node, Beams)).

until_nothing(Look) ->
    tb_lib:until_equal([], Look, ?SLOW).

%% No child moves for a while.
-spec until_at_rest(node()) -> ok.
until_at_rest(Node) ->
    Moves = moves(Node),
    pause(500),
    case moves(Node) of
        Moves -> ok;
        _ -> until_at_rest(Node)
    end.

moves(Node) ->
    #{counters := #{moves := Moves}} = ask(Node, info),
    Moves.

%% ------------------------------------------------------------ small things

-spec pause(non_neg_integer()) -> ok.
pause(Ms) ->
    receive
    after Ms -> ok
    end.

%% What is random can be had again with $TB_SEED.
-spec seed() -> non_neg_integer().
seed() ->
    Seed = tb_lib:int_env("TB_SEED", erlang:phash2(erlang:timestamp())),
    _ = rand:seed(exsss, Seed),
    Seed.
