%% tb_bridge - hosts in network namespaces, joined by a bridge on which this VM
%% has an address too. Everything made is removed by destroy/1; a name has this
%% VM's process id in it. Nothing here is newer than OTP 23.
-module(tb_bridge).

-export([possible/0, create/1, destroy/1, address/2, own_address/1, start/4, start/5, cut/3, join/3]).

-export_type([net/0]).

-opaque net() :: #{id := string(), prefix := string(), n := pos_integer()}.

%% Whether this user may make namespaces.
-spec possible() -> boolean().
possible() ->
    Name = "tbp" ++ os:getpid(),
    try
        ip(["netns", "add", Name]),
        ip(["netns", "del", Name]),
        true
    catch
        error:_ -> false
    end.

%% N hosts, numbered from 1.
-spec create(pos_integer()) -> net().
create(N) ->
    Id = os:getpid(),
    Prefix = lists:concat(["10.", 200 + list_to_integer(Id) rem 50, ".", list_to_integer(Id) div 50 rem 250, "."]),
    Net = #{id => Id, prefix => Prefix, n => N},
    try
        ip(["link", "add", bridge(Net), "type", "bridge"]),
        ip(["addr", "add", own_address(Net) ++ "/24", "dev", bridge(Net)]),
        ip(["link", "set", bridge(Net), "up"]),
        [add_host(Net, I) || I <- lists:seq(1, N)],
        Net
    catch
        Class:Reason:Stack ->
            destroy(Net),
            erlang:raise(Class, Reason, Stack)
    end.

add_host(Net, I) ->
    Ns = namespace(Net, I),
    Outer = port(Net, I),
    ip(["netns", "add", Ns]),
    ip(["link", "add", Outer, "type", "veth", "peer", "name", "eth0", "netns", Ns]),
    ip(["link", "set", Outer, "master", bridge(Net), "up"]),
    ip(["-n", Ns, "link", "set", "lo", "up"]),
    ip(["-n", Ns, "addr", "add", address(Net, I) ++ "/24", "dev", "eth0"]),
    ip(["-n", Ns, "link", "set", "eth0", "up"]).

-spec destroy(net()) -> ok.
destroy(#{n := N} = Net) ->
    %% a namespace goes later than its name: its end of the link would stay
    _ = [catch ip(["link", "del", port(Net, I)]) || I <- lists:seq(1, N)],
    _ = [catch ip(["netns", "del", namespace(Net, I)]) || I <- lists:seq(1, N)],
    _ = (catch ip(["link", "del", bridge(Net)])),
    ok.

namespace(#{id := Id}, I) -> lists:concat(["tb", Id, "h", I]).
port(#{id := Id}, I) -> lists:concat(["tb", Id, "v", I]).
bridge(#{id := Id}) -> "tb" ++ Id ++ "b".

-spec address(net(), pos_integer()) -> string().
address(#{prefix := Prefix}, I) ->
    Prefix ++ integer_to_list(I).

-spec own_address(net()) -> string().
own_address(#{prefix := Prefix}) ->
    Prefix ++ "254".

%% A program on that host.
-spec start(net(), pos_integer(), file:filename(), [string()]) -> tb_lib:program().
start(Net, I, Executable, Args) ->
    start(Net, I, Executable, Args, []).

-spec start(net(), pos_integer(), file:filename(), [string()], [{string(), string() | false}]) -> tb_lib:program().
start(Net, I, Executable, Args, Env) ->
    tb_lib:start(executable(), ["netns", "exec", namespace(Net, I), Executable | Args], Env).

%% No packet goes from one of the two to the other; both reach everybody else.
-spec cut(net(), pos_integer(), pos_integer()) -> ok.
cut(Net, I, J) ->
    isolate(Net, [I, J], "on").

-spec join(net(), pos_integer(), pos_integer()) -> ok.
join(Net, I, J) ->
    isolate(Net, [I, J], "off").

isolate(Net, Hosts, Switch) ->
    lists:foreach(
        fun(I) -> ip(["link", "set", "dev", port(Net, I), "type", "bridge_slave", "isolated", Switch]) end, Hosts
    ).

executable() ->
    case os:find_executable("ip") of
        false -> "/usr/sbin/ip";
        Path -> Path
    end.

ip(Args) ->
    {0, _, _} = tb_lib:run(executable(), Args, []),
    ok.
