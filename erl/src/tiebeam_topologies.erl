%% @doc Configurations of libcluster and dns_cluster, as those of tiebeam.
%%
%% A topology becomes an instance of discovery of that name. What has no meaning
%% here is an error that names it; nothing is left out in silence.
-module(tiebeam_topologies).

-export([discovery/1, dns_cluster/1]).
-export_type([topology/0, instance/0]).

-type topology() :: {Name :: atom(), Spec :: [{strategy | config | connect | disconnect | list_nodes, term()}]}.
-type instance() :: {Name :: atom(), Options :: [{atom(), term()}]}.

-define(STRATEGY, "Elixir.Cluster.Strategy.").

%% @doc As in `config :libcluster, topologies: [...]'. Fails with error
%% `{tiebeam, Text}'.
-spec discovery([topology()]) -> [instance()].
discovery(Topologies) when is_list(Topologies) ->
    [topology(T) || T <- Topologies];
discovery(Other) ->
    fail("topologies: expected a list of {Name, [{strategy, Module}, {config, List}]}, found ~tp", [Other]).

%% @doc As in `{DNSCluster, query: "app.internal"}': a query, `{Basename,
%% Query}', a list of them, or `ignore'.
-spec dns_cluster([{atom(), term()}]) -> instance().
dns_cluster(Options) ->
    Known = #{
        query => fun(Q) -> [{source, queries(Q)}] end,
        interval => fun(Ms) -> [{interval, Ms}] end,
        connect_timeout => fun(Ms) -> [{connect_timeout, Ms}] end,
        dns_rr_types => fun(Types) -> rr_types(Types) end,
        log => fun(Level) -> dns_log(Level) end,
        name => fun(_) -> [] end,
        nameservers => fun(Servers) -> [{nameservers, Servers}] end
    },
    {dns_cluster, keys("dns_cluster", Known, Options)}.

queries(Ignore) when Ignore =:= ignore; Ignore =:= nil; Ignore =:= undefined; Ignore =:= ""; Ignore =:= <<>> -> ignore;
queries(Queries) -> {dns, Queries}.

%% Both families are asked for, and the node's own is dialled.
rr_types(Types) ->
    case lists:usort(Types) -- [a, aaaa] of
        [] -> [];
        Other -> fail("dns_cluster: dns_rr_types ~tp: SRV records are a source of their own, {srv, Name}", [Other])
    end.

dns_log(false) -> [{log, off}];
dns_log(Level) -> [{log, Level}].

%% -------------------------------------------------------------- libcluster

topology({Name, Spec}) when is_atom(Name), is_list(Spec) ->
    Strategy =
        case lists:keyfind(strategy, 1, Spec) of
            {strategy, S} when is_atom(S) -> S;
            _ -> fail("topology ~tp: no strategy", [Name])
        end,
    Config = proplists:get_value(config, Spec, []),
    Instance = strategy(short_name(Strategy), Name, config_list(Name, Config)),
    Own = #{
        strategy => fun(_) -> [] end,
        config => fun(_) -> [] end,
        child_spec => fun(_) -> [] end,
        connect => fun(Mfa) -> [{connect, mfa(Name, connect, Mfa)}] end,
        disconnect => fun(Mfa) -> [{disconnect, mfa(Name, disconnect, Mfa)}] end,
        list_nodes => fun(Mfa) -> [{list_nodes, mfa(Name, list_nodes, Mfa)}] end
    },
    {Name, Instance ++ keys(where(Name), Own, Spec)};
topology(Other) ->
    fail("topologies: expected {Name, [{strategy, Module}, {config, List}]}, found ~tp", [Other]).

%% 'Elixir.Cluster.Strategy.Kubernetes.DNS': "Kubernetes.DNS"
short_name(Strategy) ->
    case atom_to_list(Strategy) of
        ?STRATEGY ++ Short -> Short;
        Full -> Full
    end.

config_list(_, Config) when is_list(Config) -> Config;
config_list(Name, Config) -> fail("topology ~tp: config: expected a list, found ~tp", [Name, Config]).

strategy("DNSPoll", Name, Config) ->
    Query = need(Name, query, Config),
    Base = need(Name, node_basename, Config),
    [{source, {dns, Query}}, {basename, Base} | rest(Name, Config, [query, node_basename])];
strategy("Kubernetes.DNS", Name, Config) ->
    Service = need(Name, service, Config),
    Base = need(Name, application_name, Config),
    [{source, {dns, Service}}, {basename, Base} | rest(Name, Config, [service, application_name])];
strategy("Kubernetes.DNSSRV", Name, Config) ->
    Parts = [need(Name, service, Config), need(Name, namespace, Config), "svc", cluster_domain()],
    Query = unicode:characters_to_list(lists:join($., [text(P) || P <- Parts])),
    Base = need(Name, application_name, Config),
    [{source, {srv, Query}}, {basename, Base} | rest(Name, Config, [service, namespace, application_name])];
strategy("Epmd", Name, Config) ->
    [{source, {nodes, need(Name, hosts, Config)}} | rest(Name, Config, [hosts])];
strategy("LocalEpmd", Name, Config) ->
    [{source, {epmd, []}} | rest(Name, Config, [])];
strategy("ErlangHosts", Name, Config) ->
    [{source, {hosts_file, hosts_file()}} | rest(Name, Config, [])];
strategy("Gossip", Name, _) ->
    fail("topology ~tp: Cluster.Strategy.Gossip is not supported yet; nodes are found by DNS, epmd or a list", [Name]);
strategy(Other, Name, _) ->
    fail(
        "topology ~tp: unknown strategy ~ts; known are DNSPoll, Epmd, LocalEpmd, ErlangHosts, Kubernetes.DNS and "
        "Kubernetes.DNSSRV",
        [Name, Other]
    ).

need(Name, Key, Config) ->
    case lists:keyfind(Key, 1, Config) of
        {Key, Value} when Value =/= nil, Value =/= "", Value =/= <<>> -> Value;
        _ -> fail("~ts: config needs ~ts", [where(Name), Key])
    end.

%% What the strategy itself has not used.
rest(Name, Config, Used) ->
    Known = #{
        polling_interval => fun(Ms) -> [{interval, Ms}] end,
        poll_interval => fun(Ms) -> [{interval, Ms}] end,
        timeout => fun timeout/1,
        name_match => fun(Match) -> name_match(Name, Match) end
    },
    Own = maps:from_list([{Key, fun(Value) -> [{Key, Value}] end} || Key <- own_keys()]),
    keys(where(Name) ++ ".config", maps:merge(Own, Known), [C || {Key, _} = C <- Config, not lists:member(Key, Used)] ++ no_pairs(Config)).

%% Options of discovery that a libcluster strategy does not have.
own_keys() ->
    [nameservers, search, connect_timeout, mesh, on_gone, log].

no_pairs(Config) ->
    [C || C <- Config, not (is_tuple(C) andalso tuple_size(C) =:= 2)].

%% Of the strategies that look once: here they look again, as others do.
timeout(infinity) -> [];
timeout(Ms) -> [{interval, Ms}].

name_match(_, nil) -> [];
name_match(_, Match) when is_atom(Match) -> [{basename, atom_to_list(Match)}];
name_match(Name, Match) -> fail("~ts.config: name_match ~tp: only an atom, the whole basename", [where(Name), Match]).

mfa(_, _, {M, F, A} = Mfa) when is_atom(M), is_atom(F), is_list(A) -> Mfa;
mfa(Name, Key, Other) -> fail("~ts: ~ts: expected {Module, Function, Args}, found ~tp", [where(Name), Key, Other]).

%% In the order of net_adm:host_file/0.
hosts_file() ->
    Home =
        case init:get_argument(home) of
            {ok, [[H] | _]} -> [H];
            _ -> []
        end,
    {ok, Cwd} = file:get_cwd(),
    Files = [filename:join(Dir, ".hosts.erlang") || Dir <- [Cwd] ++ Home ++ [code:root_dir()]],
    hd([F || F <- Files, filelib:is_regular(F)] ++ Files).

cluster_domain() ->
    os:getenv("CLUSTER_DOMAIN", "cluster.local").

%% ------------------------------------------------------------ small things

keys(Where, Known, Pairs) ->
    lists:append([key(Where, Known, Pair) || Pair <- Pairs]).

key(Where, Known, {Key, Value}) when is_atom(Key) ->
    case Known of
        #{Key := Fun} -> Fun(Value);
        #{} -> fail("~ts: ~ts has no counterpart", [Where, Key])
    end;
key(Where, _, Other) ->
    fail("~ts: expected {Key, Value}, found ~tp", [Where, Other]).

where(Name) ->
    lists:flatten(io_lib:format("topology ~tp", [Name])).

text(Text) when is_atom(Text) -> atom_to_list(Text);
text(Text) -> Text.

-spec fail(io:format(), [term()]) -> no_return().
fail(Format, Args) ->
    error({tiebeam, lists:flatten(io_lib:format(Format, Args))}).
