%% tb_netns - hosts of a test's own: network namespaces, each with an epmd, and
%% wires between two of them that can be slow, lossy or cut in one direction.
%%
%% This VM lives in a namespace too (run.sh), with a direct link to each host
%% that no wire has a part in. Host I has the address 10.77.0.I; nodes there
%% are Name@10.77.0.I. What cut/1 and such do is done when they return.
-module(tb_netns).

-export([available/0, join/1, leave/1, address/1, options/2, wire/2, set/5, unwire/1]).
-export([vanish/1, appear/1]).
-export_type([world/0, wire/0]).

-type host() :: 1..99.
-opaque world() :: #{hosts := [host()], epmds := [tb_lib:program()]}.
-opaque wire() :: {port(), Ns :: string(), Device :: string()}.

-define(US, "10.79.0.1").

%% Whether this system lets us: {false, Why} where not.
-spec available() -> true | {false, string()}.
available() ->
    case {os:find_executable("ip"), file:read_file_info("/dev/net/tun"), os:cmd("ip link show lo")} of
        {false, _, _} ->
            {false, "there is no ip (iproute2)"};
        {_, {error, _}, _} ->
            {false, "there is no /dev/net/tun"};
        {_, _, Lo} ->
            case {string:find(Lo, "state DOWN"), os:cmd("ip link set lo up")} of
                {nomatch, _} -> {false, "not in a network namespace of its own"};
                {_, ""} -> true;
                {_, Error} -> {false, Error}
            end
    end.

%% Makes this VM a node of long names, and as many hosts.
-spec join(host()) -> world().
join(N) ->
    ok = tb_lib:setenv(),
    ip("link set lo up"),
    ip("addr add " ?US "/32 dev lo"),
    Own = tb_lib:start_epmd(tb_lib:epmd_port()),
    {ok, _} = net_kernel:start([list_to_atom("ct@" ?US), longnames]),
    true = erlang:set_cookie(node(), list_to_atom(tb_lib:cookie())),
    Hosts = lists:seq(1, N),
    #{hosts => Hosts, epmds => [Own | [host(I) || I <- Hosts]]}.

host(I) ->
    Ns = ns(I),
    Dev = "tbh" ++ integer_to_list(I),
    _ = os:cmd("ip netns del " ++ Ns),
    ip("netns add " ++ Ns),
    ip("link add " ++ Dev ++ " type veth peer name up0 netns " ++ Ns),
    ip(["addr add 10.79.", i(I), ".1/24 dev ", Dev]),
    ip(["link set ", Dev, " up"]),
    [
        ip(["-n ", Ns, " ", Command])
     || Command <- [
            "link set lo up",
            ["addr add 10.79.", i(I), ".2/24 dev up0"],
            ["addr add ", address(I), "/32 dev lo"],
            "link set up0 up",
            ["route add default via 10.79.", i(I), ".1"]
        ]
    ],
    ip(["route add ", address(I), " via 10.79.", i(I), ".2"]),
    Port = tb_lib:epmd_port(),
    Epmd = tb_lib:start(os:find_executable("ip"), [
        "netns", "exec", Ns, os:find_executable("epmd"), "-port", integer_to_list(Port)
    ]),
    tb_lib:until(fun() ->
        case gen_tcp:connect(address(I), Port, [], 1000) of
            {ok, Socket} -> ok =:= gen_tcp:close(Socket);
            {error, _} -> false
        end
    end),
    Epmd.

-spec leave(world()) -> ok.
leave(#{hosts := Hosts, epmds := Epmds}) ->
    ok = net_kernel:stop(),
    lists:foreach(fun tb_lib:end_epmd/1, Epmds),
    [ip("netns del " ++ ns(I)) || I <- Hosts],
    ok.

-spec address(host()) -> string().
address(I) ->
    "10.77.0." ++ i(I).

%% Where tb_lib:beam/2 and tb_lib:daemon/2 shall start theirs.
-spec options(host(), map()) -> map().
options(I, Options) ->
    Options#{netns => ns(I), host => address(I)}.

ns(I) ->
    os:getenv("TB_NETNS", "tbn") ++ i(I).

i(I) ->
    integer_to_list(I).

%% A wire between two hosts, which see each other over it only.
-spec wire(host(), host()) -> wire().
wire(A, B) ->
    Bin = filename:absname(os:getenv("WIRE_BIN", "build/release/test/interop/wire")),
    Dev = lists:concat(["tb", A, "to", B]),
    Port = open_port({spawn_executable, Bin}, [{args, [ns(A), ns(B), Dev]}, {line, 80}, exit_status]),
    answer(Port, "ready"),
    [
        begin
            ip(["-n ", ns(From), " link set ", Dev, " up"]),
            ip(["-n ", ns(From), " route add ", address(To), " dev ", Dev, " src ", address(From)])
        end
     || {From, To} <- [{A, B}, {B, A}]
    ],
    {Port, ns(A), Dev}.

%% Delay and jitter in milliseconds, loss in percent; ab is from the first one.
-spec set(wire(), ab | ba | both, number(), number(), number()) -> ok.
set({Port, _, _}, Way, Delay, Jitter, Loss) ->
    true = port_command(Port, io_lib:format("set ~s ~w ~w ~w~n", [Way, Delay, Jitter, Loss])),
    answer(Port, "ok").

-spec unwire(wire()) -> ok.
unwire({Port, Ns, Dev}) ->
    true = port_close(Port),
    Show = "ip -n " ++ Ns ++ " link show " ++ Dev ++ " 2>&1",
    tb_lib:until(fun() -> string:find(os:cmd(Show), "does not exist") =/= nomatch end).

%% No packet of the first host finds that one any more, and nobody says so.
-spec vanish(host()) -> ok.
vanish(Host) ->
    ip(["-n ", ns(1), " route replace blackhole ", address(Host)]).

%% The end of that; its wire has to be made anew.
-spec appear(host()) -> ok.
appear(Host) ->
    _ = os:cmd(lists:flatten(["ip -n ", ns(1), " route del blackhole ", address(Host)])),
    ok.

answer(Port, Text) ->
    receive
        {Port, {data, {eol, Text}}} -> ok;
        {Port, Other} -> error({wire, Other})
    after 60000 -> error({wire, silent})
    end.

ip(Command) ->
    case os:cmd(lists:flatten(["ip ", Command])) of
        "" -> ok;
        Error -> error({ip, lists:flatten(Command), Error})
    end.
