%% @doc Client of a tiebeam node's own process, `tiebeam'.
%%
%% Each function is one `gen_server:call/3' to `{tiebeam, Node}', which works as
%% well without this module; it adds types. Failures are those of
%% `gen_server:call/3': exit `{noproc, _}', `{{nodedown, Node}, _}' or
%% `{timeout, _}'.
-module(tiebeam).

-export([child_spec/1]).
-export([info/1, nodes/1, nodes/2, echo/2, connect/2, disconnect/2, stop/1]).
-export_type([info/0, peer/0, kind/0]).

-type kind() :: visible | hidden | connected.
-type peer() :: #{
    type := visible | hidden,
    connection_id := pos_integer(),
    creation := non_neg_integer(),
    up_ms := non_neg_integer(),
    frames_in := non_neg_integer(),
    frames_out := non_neg_integer(),
    bytes_in := non_neg_integer(),
    bytes_out := non_neg_integer(),
    queued := non_neg_integer(),
    monitors_and_links := non_neg_integer()
}.
-type info() :: #{
    name := node(),
    version := binary(),
    creation := non_neg_integer(),
    port := inet:port_number(),
    registered := boolean(),
    uptime_ms := non_neg_integer(),
    nodes := #{node() => peer()},
    counters := #{atom() => non_neg_integer()},
    tables := #{atom() => non_neg_integer()}
}.

%% A connection that is being set up may take net_setuptime, 7 s by default.
-define(CONNECT_TIMEOUT, 10000).

%% @doc A sidecar in a supervision tree: in Elixir `{:tiebeam, topologies:
%% topologies}' stands where `{Cluster.Supervisor, [topologies, ...]}' did. See
%% {@link tiebeam_sidecar}.
-spec child_spec(term()) -> supervisor:child_spec().
child_spec(Options) ->
    tiebeam_sidecar:child_spec(Options).

%% @doc What the node is, whom it is connected to, and its counters.
-spec info(node()) -> info().
info(Node) ->
    call(Node, info).

%% @doc All nodes that it is connected to.
-spec nodes(node()) -> [node()].
nodes(Node) ->
    call(Node, nodes).

-spec nodes(node(), kind()) -> [node()].
nodes(Node, Kind) ->
    call(Node, {nodes, Kind}).

%% @doc The same term, after it has been there.
-spec echo(node(), Term) -> Term.
echo(Node, Term) ->
    call(Node, {echo, Term}).

%% @doc Let it connect to another node.
-spec connect(node(), node()) -> ok | {error, Reason} when
    Reason :: atom() | {wrong_name, SeenName :: binary()} | {tls_error, Text :: binary()}.
connect(Node, Other) ->
    gen_server:call({tiebeam, Node}, {connect, Other}, ?CONNECT_TIMEOUT).

%% @doc `false' where there was no connection.
-spec disconnect(node(), node()) -> boolean().
disconnect(Node, Other) ->
    call(Node, {disconnect, Other}).

%% @doc Let it leave the cluster and end.
-spec stop(node()) -> ok.
stop(Node) ->
    call(Node, stop).

-spec call(node(), term()) -> term().
call(Node, Request) ->
    gen_server:call({tiebeam, Node}, Request).
