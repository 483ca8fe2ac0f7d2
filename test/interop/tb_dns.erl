%% tb_dns - name servers for a test: dnsmasq, as a program of the test's own,
%% and one that answers as badly as it is told to.
%% Nothing here is newer than OTP 23.
-module(tb_dns).

%% dnsmasq
-export([start/1, stop/1, hosts/2, address/1, program/1]).
%% a server of ours
-export([bad/1, answer/2, bad_address/1, end_bad/1]).

-export_type([dnsmasq/0, bad/0]).

-opaque dnsmasq() :: #{program := tb_lib:program(), port := inet:port_number(), hosts := file:filename()}.
-type host() :: {Address :: string(), Name :: string()}.

%% hosts: what the names stand for; conf: more lines for its configuration.
-spec start(#{hosts => [host()], conf => [string()], ttl => pos_integer()}) -> dnsmasq().
start(Options) ->
    Port = tb_lib:free_port(),
    Text = integer_to_list(Port),
    Hosts = tb_lib:tmp("hosts." ++ Text),
    Conf = tb_lib:tmp("dnsmasq." ++ Text),
    write_hosts(Hosts, maps:get(hosts, Options, [])),
    ok = file:write_file(Conf, [[Line, $\n] || Line <- maps:get(conf, Options, [])]),
    Args =
        ["--keep-in-foreground", "--conf-file=" ++ Conf, "--port=" ++ Text, "--listen-address=127.0.0.1"] ++
            ["--bind-interfaces", "--no-resolv", "--no-hosts", "--addn-hosts=" ++ Hosts, "--local=/test/"] ++
            ["--local-ttl=" ++ integer_to_list(maps:get(ttl, Options, 7)), "--user=root", "--pid-file"],
    Program = tb_lib:start(executable(), Args),
    Server = #{program => Program, port => Port, hosts => Hosts},
    tb_lib:until(fun() -> is_answering(Port) end),
    Server.

executable() ->
    case os:find_executable("dnsmasq") of
        false -> "/usr/sbin/dnsmasq";
        Path -> Path
    end.

is_answering(Port) ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, [], 1000) of
        {ok, Socket} -> gen_tcp:close(Socket) =:= ok;
        {error, _} -> false
    end.

write_hosts(File, Hosts) ->
    ok = file:write_file(File, [[Address, $\s, Name, $\n] || {Address, Name} <- Hosts]).

%% Other answers from now on.
-spec hosts(dnsmasq(), [host()]) -> ok.
hosts(#{program := Program, hosts := File}, Hosts) ->
    write_hosts(File, Hosts),
    tb_lib:signal(Program, "HUP").

-spec address(dnsmasq()) -> string().
address(#{port := Port}) ->
    "127.0.0.1:" ++ integer_to_list(Port).

-spec program(dnsmasq()) -> tb_lib:program().
program(#{program := Program}) ->
    Program.

-spec stop(dnsmasq()) -> ok.
stop(#{program := Program}) ->
    tb_lib:signal(Program, "KILL"),
    _ = tb_lib:wait_exit(Program),
    ok.

%% ----------------------------------------------------------------- our own

-opaque bad() :: #{pid := pid(), port := inet:port_number()}.
%% For A and for AAAA: addresses, a response code, bytes that are no answer, an
%% answer for which TCP is needed, which nobody serves, or nothing at all.
-type answer() :: [inet:ip_address()] | 1..15 | garbage | truncated | silence.

-spec bad(#{a => answer(), aaaa => answer()}) -> bad().
bad(Answers) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        {ok, Socket} = gen_udp:open(0, [binary, {ip, {127, 0, 0, 1}}]),
        {ok, Port} = inet:port(Socket),
        Self ! {self(), Port},
        serve(Socket, Answers)
    end),
    receive
        {Pid, Port} -> #{pid => Pid, port => Port}
    end.

-spec answer(bad(), #{a => answer(), aaaa => answer()}) -> ok.
answer(#{pid := Pid}, Answers) ->
    Pid ! {answers, self(), Answers},
    receive
        {Pid, ok} -> ok
    end.

-spec bad_address(bad()) -> string().
bad_address(#{port := Port}) ->
    "127.0.0.1:" ++ integer_to_list(Port).

-spec end_bad(bad()) -> ok.
end_bad(#{pid := Pid}) ->
    unlink(Pid),
    exit(Pid, kill),
    ok.

serve(Socket, Answers) ->
    receive
        {udp, Socket, Ip, Port, <<Id:16, _:80, Rest/binary>>} ->
            {Question, Type} = question(Rest, 0),
            case reply(maps:get(Type, Answers, []), Type, Id, Question) of
                none -> ok;
                Reply -> ok = gen_udp:send(Socket, Ip, Port, Reply)
            end,
            serve(Socket, Answers);
        {answers, From, New} ->
            From ! {self(), ok},
            serve(Socket, New)
    end.

question(Bytes, At) ->
    case binary:at(Bytes, At) of
        0 ->
            <<Question:(At + 5)/binary, _/binary>> = Bytes,
            <<Code:16, _:16>> = binary:part(Question, At + 1, 4),
            {Question,
                case Code of
                    1 -> a;
                    28 -> aaaa;
                    _ -> other
                end};
        N ->
            question(Bytes, At + N + 1)
    end.

reply(silence, _, _, _) ->
    none;
reply(garbage, _, Id, Question) ->
    <<Id:16, 16#8580:16, 1:16, 9:16, 0:32, Question/binary, 1, 2, 3>>;
reply(truncated, _, Id, Question) ->
    <<Id:16, 16#8780:16, 1:16, 0:48, Question/binary>>;
reply(Code, _, Id, Question) when is_integer(Code) ->
    <<Id:16, (16#8580 bor Code):16, 1:16, 0:48, Question/binary>>;
reply(Addresses, Type, Id, Question) ->
    Records = [record(Type, list_to_binary(tuple_to_list(A))) || A <- Addresses, Type =:= a],
    Count = length(Records),
    iolist_to_binary([<<Id:16, 16#8580:16, 1:16, Count:16, 0:32>>, Question | Records]).

record(a, Address) ->
    <<16#c00c:16, 1:16, 1:16, 5:32, (byte_size(Address)):16, Address/binary>>.
