%% @private What the program of a sidecar is started with: from the options of
%% the application, and from the node that it belongs to. Nothing is started or
%% kept here.
%%
%% The cookie and the configuration go through the environment, which only the
%% same user can read; a command line everybody can.
-module(tiebeam_sidecar_config).

-export([is_wanted/0, section/1, launch/2, own_name/1]).
-export_type([option/0, section/0, launch/0]).

%% Every other key is one of the program's section `tiebeam'.
-type option() ::
    {sidecar, boolean()}
    | {topologies, [tiebeam_topologies:topology()]}
    | {query, term()}
    | {binary, file:filename_all()}
    | {listen, boolean()}
    | {args, [string()]}
    | {atom(), term()}.
-type section() :: #{
    binary := file:filename_all() | undefined,
    listen := boolean(),
    args := [string()],
    discovery := [tiebeam_topologies:instance()],
    rest := [{atom(), term()}]
}.
-type launch() :: #{
    name := string(),
    executable := file:filename_all(),
    args := [string()],
    env := [{string(), string() | false}]
}.

%% Of one variable of the environment, on Linux.
-define(MAX_TEXT, 120000).
%% Names of sidecars begin so; discovery takes none of them for a peer.
-define(PREFIX, "tiebeam-").

%% @doc Whether the application environment asks for a sidecar.
-spec is_wanted() -> boolean().
is_wanted() ->
    Env = application:get_all_env(tiebeam),
    Asks = lists:any(fun(Key) -> lists:keymember(Key, 1, Env) end, [topologies, discovery, query]),
    proplists:get_value(sidecar, Env, Asks) =:= true.

%% --------------------------------------------------------------- options

%% @doc The options given, over those of the application environment. Fails
%% with error `{tiebeam, Text}'.
-spec section(term()) -> section().
section(Given) ->
    Own = given(Given),
    Env = [Pair || {Key, _} = Pair <- application:get_all_env(tiebeam), not lists:keymember(Key, 1, Own)],
    All = Own ++ Env,
    {Ours, Rest} = lists:partition(fun({Key, _}) -> is_ours(Key, All) end, All),
    Section = #{
        binary => proplists:get_value(binary, Ours),
        listen => proplists:get_value(listen, Ours, true),
        args => proplists:get_value(args, Ours, []),
        discovery => instances(All),
        rest => Rest
    },
    no_functions(Section),
    Section.

%% The arguments of libcluster's supervisor, [Topologies] or [Topologies,
%% Options], are taken, too.
given([Topologies | Options]) when is_list(Topologies), length(Options) =< 1 ->
    [{topologies, Topologies}];
given(Options) when is_list(Options) ->
    Pair = fun
        ({Key, Value}) when is_atom(Key) -> {Key, Value};
        (Key) when is_atom(Key) -> {Key, true};
        (Other) -> fail("expected {Key, Value}, found ~tp", [Other])
    end,
    lists:map(Pair, Options);
given(Other) ->
    fail("expected a list of {Key, Value}, found ~tp", [Other]).

is_ours(Key, All) ->
    lists:member(Key, [sidecar, topologies, discovery, query, binary, listen, args, included_applications]) orelse
        (lists:keymember(query, 1, All) andalso is_of_query(Key, proplists:get_value(Key, All))).

%% Beside a query stand the other keys of dns_cluster.
is_of_query(log, Level) -> is_atom(Level);
is_of_query(Key, _) -> lists:member(Key, [interval, connect_timeout, dns_rr_types, name, nameservers]).

instances(All) ->
    Named = proplists:get_value(discovery, All, []),
    is_list(Named) orelse fail("discovery: expected a list, found ~tp", [Named]),
    Converted = tiebeam_topologies:discovery(proplists:get_value(topologies, All, [])),
    Query =
        case lists:keymember(query, 1, All) of
            true ->
                Keys = [Pair || {Key, Value} = Pair <- All, Key =:= query orelse is_of_query(Key, Value)],
                [tiebeam_topologies:dns_cluster(Keys)];
            false when Named =:= [], Converted =:= [] ->
                from_environment(os:getenv("DNS_CLUSTER_QUERY", ""));
            false ->
                []
        end,
    Named ++ Converted ++ Query.

from_environment("") -> [];
from_environment(Text) -> [tiebeam_topologies:dns_cluster([{query, string:lexemes(Text, ", ")}])].

%% A term that has no text that could be read again.
no_functions(Term) when is_function(Term); is_pid(Term); is_port(Term); is_reference(Term) ->
    fail("~tp cannot be given to another program", [Term]);
no_functions([Head | Tail]) ->
    no_functions(Head),
    no_functions(Tail);
no_functions(Tuple) when is_tuple(Tuple) ->
    no_functions(tuple_to_list(Tuple));
no_functions(Map) when is_map(Map) ->
    no_functions(maps:to_list(Map));
no_functions(_) ->
    ok.

%% ---------------------------------------------------------------- launch

%% @doc The program and all that it is given, for a node that is alive. Process
%% is the name of the one that wants to hear of connections.
-spec launch(section(), atom()) -> launch().
launch(Section, Process) ->
    Name = own_name(node()),
    #{
        name => Name,
        executable => executable(maps:get(binary, Section)),
        args => [kind_flag(), Name, "--sidecar", "--no-color", "--log-format", "text"] ++
            transport() ++ epmd(Section) ++ maps:get(args, Section),
        env =>
            [{"RELEASE_COOKIE", atom_to_list(erlang:get_cookie())}, {"TIEBEAM_CONFIG", text(Section, Process)}] ++
            [{Variable, false} || Variable <- inherited()]
    }.

%% What these say of the node does not hold for its sidecar.
inherited() ->
    ["RELEASE_NODE", "RELEASE_NAME", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "ERL_DIST_PORT", "DNS_CLUSTER_QUERY"] ++
        ["NOTIFY_SOCKET", "WATCHDOG_USEC"].

%% @doc What the sidecar of a node is called; no peer is looked for under that
%% name, and no two nodes have the same.
-spec own_name(node()) -> string().
own_name(Node) ->
    ?PREFIX ++ atom_to_list(Node).

executable(undefined) ->
    Own = [filename:join([Dir, "bin", "tiebeam"]) || Dir <- [code:priv_dir(tiebeam)], is_list(Dir)],
    case {[File || File <- Own, filelib:is_regular(File)], os:find_executable("tiebeam")} of
        {[File | _], _} -> File;
        {[], false} -> fail("no program tiebeam: not in ~ts, not in PATH, and no {binary, Path} is given", [Own]);
        {[], File} -> File
    end;
executable(File) ->
    case filelib:is_regular(File) of
        true -> File;
        false -> fail("binary: there is no ~ts", [File])
    end.

kind_flag() ->
    case net_kernel:get_state() of
        #{name_domain := longnames} -> "-name";
        #{} -> "-sname"
    end.

transport() ->
    last("-proto_dist", proto_dist) ++ last("-ssl_dist_optfile", ssl_dist_optfile) ++
        lists:append([["-ssl_dist_opt" | Options] || Options <- arguments(ssl_dist_opt)]).

last(Flag, Key) ->
    case lists:reverse(arguments(Key)) of
        [[Value | _] | _] -> [Flag, Value];
        _ -> []
    end.

%% Where the node asks no epmd, the sidecar is in none either, and only dials.
epmd(#{listen := Listen}) ->
    Port = last("-erl_epmd_port", erl_epmd_port),
    Module = last("-epmd_module", epmd_module),
    ["-start_epmd", "false"] ++ Port ++ other_epmd(Module) ++
        [Arg || not Listen orelse Port =/= [] orelse Module =/= [], Arg <- ["-dist_listen", "false"]].

%% A module that the program cannot call: where this node is, it can tell.
other_epmd([]) ->
    [];
other_epmd([_, "erl_epmd"]) ->
    [];
other_epmd([_, Module]) ->
    [Name, Host] = string:split(atom_to_list(node()), "@"),
    case apply(list_to_existing_atom(Module), port_please, [Name, Host]) of
        {port, Port, _} -> ["--peer-ports", lists:concat([node(), "=", Port])];
        _ -> []
    end.

arguments(Key) ->
    case init:get_argument(Key) of
        {ok, Lists} -> Lists;
        error -> []
    end.

%% ------------------------------------------------------------ the section

text(#{discovery := Instances, rest := Rest}, Process) ->
    Discovery = [{Name, attach(Options, Process)} || {Name, Options} <- Instances ++ own_instance(Instances)],
    Terms = [{tiebeam, [{discovery, Discovery} | Rest]}, {kernel, kernel()}],
    Text = lists:flatten(io_lib:format("~0tp.", [Terms])),
    length(Text) =< ?MAX_TEXT orelse fail("the configuration has more than ~b characters", [?MAX_TEXT]),
    encoded(Text).

%% Where nobody is looked for, the node itself is kept connected all the same.
own_instance(Instances) ->
    case [Name || {Name, Options} <- Instances, proplists:get_value(source, Options) =/= ignore] of
        [] -> [{sidecar, [{source, {nodes, []}}]}];
        _ -> []
    end.

%% Each instance works for this node, and tells it what it does.
attach(Options, Process) ->
    Notices = [{send, {Process, node()}} | proplists:get_value(notify, Options, [])],
    [{attached, node()} || not lists:keymember(attached, 1, Options)] ++
        [{notify, Notices} | lists:keydelete(notify, 1, Options)].

kernel() ->
    Ticktime =
        case net_kernel:get_net_ticktime() of
            Seconds when is_integer(Seconds) -> [{net_ticktime, Seconds}];
            _ -> []
        end,
    Ticktime ++ range(env(inet_dist_listen_min), env(inet_dist_listen_max)) ++ env(inet_dist_use_interface) ++
        env(net_setuptime).

%% A range has a port for each of the two; a single port is the node's.
range([{_, Min}] = Low, [{_, Max}] = High) when Min < Max -> Low ++ High;
range(_, _) -> [].

env(Key) ->
    case application:get_env(kernel, Key) of
        {ok, Value} -> [{Key, Value}];
        undefined -> []
    end.

%% The program reads UTF-8, whatever this node's encoding of names is.
encoded(Text) ->
    case file:native_name_encoding() of
        utf8 -> Text;
        latin1 -> binary_to_list(unicode:characters_to_binary(Text))
    end.

-spec fail(io:format(), [term()]) -> no_return().
fail(Format, Args) ->
    error({tiebeam, lists:flatten(io_lib:format(Format, Args))}).
