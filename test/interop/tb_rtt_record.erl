%% tb_rtt_record - records how long answers to probes take on links of several
%% kinds: test/data/rtt/*.txt, "AT_MS RTT_US" a line, for test_suspicion.c.
%%
%%   make record-rtt
-module(tb_rtt_record).

-export([main/0, sample/2, load/3]).

-define(EVERY_MS, 100).

-spec main() -> no_return().
main() ->
    true = tb_netns:available(),
    World = tb_netns:join(2),
    Wire = tb_netns:wire(1, 2),
    A = tb_lib:beam(a, tb_netns:options(1, #{})),
    B = tb_lib:beam(b, tb_netns:options(2, #{})),
    try
        [
            begin
                ok = tb_netns:set(Wire, both, Delay, Jitter, Loss),
                record(Name, tb_lib:node_of(A), tb_lib:node_of(B), Load)
            end
         || {Name, Delay, Jitter, Loss, Load} <- [
                {"steady", 0, 0, 0, none},
                {"jittery", 200, 100, 0, none},
                {"bursty", 10, 3, 0, 20000000},
                {"lossy", 200, 100, 5, none}
            ]
        ]
    after
        tb_lib:end_beam(A),
        tb_lib:end_beam(B),
        tb_netns:unwire(Wire),
        tb_netns:leave(World)
    end,
    halt(0).

record(Name, A, B, Load) ->
    io:format("~s~n", [Name]),
    Loaders = [rpc:call(A, erlang, spawn, [?MODULE, load, [B, Load, 2000]]) || Load =/= none],
    Samples = rpc:call(A, ?MODULE, sample, [B, 60000]),
    [exit(Pid, kill) || Pid <- Loaders],
    Text = [io_lib:format("~b ~b~n", [At, Rtt]) || {At, Rtt} <- Samples],
    ok = file:write_file(filename:join(os:getenv("TB_RTT"), Name ++ ".txt"), Text).

%% A probe every so often; each is waited for by a process of its own.
-spec sample(node(), pos_integer()) -> [{non_neg_integer(), pos_integer()}].
sample(Node, Ms) ->
    true = net_kernel:connect_node(Node),
    Self = self(),
    Start = erlang:monotonic_time(millisecond),
    N = Ms div ?EVERY_MS,
    [
        begin
            At = I * ?EVERY_MS,
            receive
            after max(0, Start + At - erlang:monotonic_time(millisecond)) -> ok
            end,
            spawn_link(fun() -> Self ! {sample, At, probe(Node)} end)
        end
     || I <- lists:seq(0, N - 1)
    ],
    lists:sort([receive {sample, At, Us} -> {At, Us} end || _ <- lists:seq(1, N)]).

probe(Node) ->
    Sent = erlang:monotonic_time(microsecond),
    Ref = monitor(process, {'$tiebeam_probe', Node}),
    receive
        {'DOWN', Ref, process, _, noproc} -> erlang:monotonic_time(microsecond) - Sent
    end.

%% Messages of that size, so often.
-spec load(node(), pos_integer(), pos_integer()) -> no_return().
load(Node, Bytes, EveryMs) ->
    {nobody, Node} ! binary:copy(<<7>>, Bytes),
    receive
    after EveryMs -> load(Node, Bytes, EveryMs)
    end.
