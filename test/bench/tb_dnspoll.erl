%% tb_dnspoll - what libcluster's strategy DNSPoll is documented to do, in a few
%% lines of Erlang: each interval the A records of a name are looked up, what is
%% new is connected to, one after the other, and what is gone is disconnected.
%% It is not libcluster's code, and it does nothing else.
-module(tb_dnspoll).

-export([start/4, stop/1, round/3, watch/1]).

-type server() :: {inet:ip_address(), inet:port_number()}.

-spec start(string(), string(), pos_integer(), server()) -> pid().
start(Query, Basename, Interval, Server) ->
    spawn(fun() -> poll(Query, Basename, Interval, Server, []) end).

-spec stop(pid()) -> true.
stop(Pid) ->
    exit(Pid, kill).

poll(Query, Basename, Interval, Server, Known) ->
    Found = lookup(Query, Basename, Server),
    _ = [erlang:disconnect_node(Node) || Node <- Known -- Found],
    Refused = [Node || Node <- Found -- Known, net_kernel:connect_node(Node) =/= true],
    receive
    after Interval -> poll(Query, Basename, Interval, Server, Found -- Refused)
    end.

lookup(Query, Basename, Server) ->
    Addresses = inet_res:lookup(Query, in, a, [{nameservers, [Server]}, {timeout, 5000}]),
    [list_to_atom(Basename ++ "@" ++ inet:ntoa(A)) || A <- Addresses] -- [node()].

%% How many addresses a round with nobody known has, and its microseconds.
-spec round(string(), string(), server()) -> {non_neg_integer(), non_neg_integer()}.
round(Query, Basename, Server) ->
    Start = erlang:monotonic_time(microsecond),
    Found = lookup(Query, Basename, Server),
    _ = [net_kernel:connect_node(Node) || Node <- Found],
    {length(Found), erlang:monotonic_time(microsecond) - Start}.

%% {nodeup, Node} to that process from now on.
-spec watch(pid()) -> pid().
watch(To) ->
    spawn(fun() ->
        ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
        To ! watching,
        watch_loop(To)
    end).

watch_loop(To) ->
    receive
        {nodeup, Node, _} -> To ! {nodeup, Node};
        _ -> ok
    end,
    watch_loop(To).
