%% tb_hostile - what a test against hostile peers needs: a daemon that is
%% watched while they are at it, bytes that no node would send, and a table of
%% what it cost.
%%
%% All the while a second BEAM pings the daemon and calls a process of it. The
%% daemon's memory is read from /proc; with AddressSanitizer, which keeps what
%% is freed, it is shown and not judged. Nothing here is newer than OTP 23.
-module(tb_hostile).

-export([survive/4, watch/2, put_table/0]).
%% peers
-export([name/1, connect/2, dial/1, dials/2, raw/1, port/1, pour/2, pour_all/2, until_closed/1, reading/2, close/1, frame/1, frame/2]).
%% bytes of terms and control messages
-export([etf/1, atom/1, atom/2, node_of/1, pid/2, ref/2, tuple/1]).

-export_type([context/0, reason/0]).

%% The one time that is promised: no answer to an honest node takes longer.
%% A machine that others use as well stands still at times; hostile.md has what an
%% idle one needs.
-define(ANSWER_MS, 20000).
%% Memory that may stay: what is freed is not all given back.
-define(STAYS_MIB, 8).
-define(PATIENCE, 60000).
-define(STUCK_MS, 1000).

%% slow: how much slower a daemon is than one without sanitizers, about.
-type context() :: #{
    node := node(), daemon := tb_lib:program(), beam := node(), slow := pos_integer()
}.
%% So many lines of that event with these words in them, the ones that the
%% log's rate limit left out counted; or any number.
-type reason() :: {Event :: string(), Words :: string(), Count :: non_neg_integer() | some}.

%% Runs Peers against a daemon of its own. Options: args (of the daemon), rise
%% (MiB that its memory may grow by), stays (MiB of them for good), files (that
%% it may have open).
-spec survive(string(), map(), node(), fun((context()) -> [reason()])) -> ok.
survive(Title, Options, Beam, Peers) ->
    %% what asks by itself would be counted with what the peers cause
    [{tiebeam, Still}] = tb_lib:still(),
    Config = [{tiebeam, [{log, [{level, debug}]} | Still]}],
    Args = maps:get(args, Options, []),
    Daemon = with_files(maps:get(files, Options, unlimited), fun() ->
        tb_lib:daemon(tb, #{config => Config, args => Args})
    end),
    N = tb_lib:node_of(Daemon),
    try
        pong = rpc:call(Beam, net_adm, ping, [N]),
        Tables = fun() -> rpc:call(Beam, tb_lib, tables, [N]) end,
        Base = Tables(),
        Fds = tb_lib:fds(Daemon),
        Before = rss(Daemon),
        ok = forget_peak(Daemon),
        Watch = start_watch(Beam, N),
        Slow =
            case is_sanitized(Daemon) of
                true -> 10;
                false -> 1
            end,
        Reasons = Peers(#{node => N, daemon => Daemon, beam => Beam, slow => Slow}),
        tb_lib:until_equal(Fds, fun() -> tb_lib:fds(Daemon) end, ?PATIENCE),
        Slowest = end_watch(Watch),
        tb_lib:until_equal(Base, Tables, ?PATIENCE),
        Peak = peak(Daemon),
        until_logged(Daemon, Reasons),
        Judged = not is_sanitized(Daemon),
        Stays = maps:get(stays, Options, ?STAYS_MIB),
        Judged andalso within("memory that stays", Before, Stays, fun() -> rss(Daemon) end),
        put_row(Title, Before, Peak, rss(Daemon), Slowest, Reasons),
        Judged andalso within("memory at its peak", Before, maps:get(rise, Options), fun() -> Peak end),
        Slowest =< ?ANSWER_MS orelse error({answers_take, Slowest, ms}),
        tb_lib:stop(Daemon)
    catch
        Class:Why:Stack ->
            io:format("~ts~n", [last_lines(tb_lib:output(Daemon))]),
            tb_lib:kill(Daemon),
            erlang:raise(Class, Why, Stack)
    end.

%% The daemon that Fun starts may have so many files open.
with_files(unlimited, Fun) ->
    Fun();
with_files(Files, Fun) ->
    Script = tb_lib:tmp("tiebeam_with_few_files"),
    Own = os:getenv("TIEBEAM_BIN"),
    Text = io_lib:format("#!/bin/sh~nulimit -n ~B~nexec '~ts' \"$@\"~n", [Files, tb_lib:binary()]),
    ok = file:write_file(Script, Text),
    ok = file:change_mode(Script, 8#755),
    os:putenv("TIEBEAM_BIN", Script),
    try
        Fun()
    after
        case Own of
            false -> os:unsetenv("TIEBEAM_BIN");
            _ -> os:putenv("TIEBEAM_BIN", Own)
        end
    end.

last_lines(Output) ->
    Lines = binary:split(Output, <<"\n">>, [global]),
    lists:join("\n", lists:nthtail(max(0, length(Lines) - 20), Lines)).

%% ----------------------------------------------------------- honest node

start_watch(Beam, N) ->
    Watcher = spawn(Beam, ?MODULE, watch, [N, self()]),
    Monitor = monitor(process, Watcher),
    receive
        {Watcher, watching} -> {Watcher, Monitor};
        {'DOWN', Monitor, process, _, Why} -> error({watch, Why})
    end.

end_watch({Watcher, Monitor}) ->
    Watcher ! {self(), stop},
    receive
        {Watcher, Slowest} ->
            demonitor(Monitor, [flush]),
            Slowest;
        {'DOWN', Monitor, process, _, Why} ->
            error({honest_node, Why})
    end.

%% Runs on the second BEAM; ends with the time of the slowest answer, in ms.
-spec watch(node(), pid()) -> term().
watch(N, Owner) ->
    Owner ! {self(), watching},
    watch_loop(N, Owner, 0).

watch_loop(N, Owner, Slowest) ->
    Ping = timed(fun() -> pong = net_adm:ping(N) end),
    Call = timed(fun() ->
        Term = {make_ref(), self()},
        Term = gen_server:call({tiebeam, N}, {echo, Term}, ?PATIENCE)
    end),
    Now = lists:max([Slowest, Ping, Call]),
    receive
        {Owner, stop} -> Owner ! {self(), Now}
    after 1 -> watch_loop(N, Owner, Now)
    end.

timed(Fun) ->
    Start = erlang:monotonic_time(microsecond),
    _ = Fun(),
    (erlang:monotonic_time(microsecond) - Start) / 1000.

%% ---------------------------------------------------------------- memory

proc_file(Daemon, File) ->
    "/proc/" ++ integer_to_list(tb_lib:os_pid(Daemon)) ++ "/" ++ File.

status_mib(Daemon, Field) ->
    {ok, Text} = file:read_file(proc_file(Daemon, "status")),
    {match, [Kib]} = re:run(Text, Field ++ ":\\s+(\\d+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kib) / 1024.

rss(Daemon) -> status_mib(Daemon, "VmRSS").
peak(Daemon) -> status_mib(Daemon, "VmHWM").

forget_peak(Daemon) ->
    file:write_file(proc_file(Daemon, "clear_refs"), "5").

is_sanitized(Daemon) ->
    {ok, Maps} = file:read_file(proc_file(Daemon, "maps")),
    binary:match(Maps, <<"libasan">>) =/= nomatch.

within(What, Before, Mib, Fun) ->
    try
        tb_lib:until(fun() -> Fun() =< Before + Mib end)
    catch
        error:too_late -> error({What, {before, Before}, {may_grow_by, Mib}, {is, Fun()}})
    end.

%% ------------------------------------------------------------------- log

%% An event that is named has exactly these lines. What the rate limit left out
%% is told within two seconds.
until_logged(Daemon, Reasons) ->
    Events = lists:usort([Event || {Event, _, _} <- Reasons]),
    [until_logged(Daemon, Event, [{W, C} || {E, W, C} <- Reasons, E =:= Event]) || Event <- Events],
    ok.

until_logged(Daemon, Event, Wanted) ->
    case lists:keymember(some, 2, Wanted) of
        true ->
            tb_lib:until(fun() -> lines(Daemon, Event) =/= [] end);
        false ->
            Total = lists:sum([Count || {_, Count} <- Wanted]),
            tb_lib:until_equal({Event, Total}, fun() -> {Event, count(lines(Daemon, Event))} end)
    end,
    Lines = [L || L <- lines(Daemon, Event), not is_summary(L)],
    Odd = [L || L <- Lines, not lists:any(fun({Words, _}) -> has(L, Words) end, Wanted)],
    %% an atom is more than any number
    More = [{W, C} || {W, C} <- Wanted, length([L || L <- Lines, has(L, W)]) > C],
    {Odd, More} =:= {[], []} orelse error({logged, Event, {odd, Odd}, {too_many, More}}).

lines(Daemon, Event) ->
    Id = list_to_binary("[" ++ Event ++ "]"),
    [L || L <- binary:split(tb_lib:output(Daemon), <<"\n">>, [global]), has(L, Id)].

count(Lines) ->
    length([L || L <- Lines, not is_summary(L)]) + lists:sum([left_out(L) || L <- Lines]).

has(Line, Text) ->
    binary:match(Line, iolist_to_binary(Text)) =/= nomatch.

%% What an event was about, and how many were left out.
is_summary(Line) ->
    re:run(Line, "\\] (and|(node|from)=[^ ]+) \\(\\d+ more not shown\\)$") =/= nomatch.

left_out(Line) ->
    case re:run(Line, "\\((\\d+) more not shown\\)$", [{capture, all_but_first, list}]) of
        {match, [Number]} -> list_to_integer(Number);
        nomatch -> 0
    end.

%% ----------------------------------------------------------------- table

%% The table is a file that TB_HOSTILE_TABLE names; none without it.
-spec put_table() -> ok.
put_table() ->
    Head =
        "| peer | before | peak | after | slowest answer | logged |\n"
        "| --- | ---: | ---: | ---: | ---: | --- |\n",
    write_table(Head, []).

put_row(Title, Before, Peak, After, Slowest, Reasons) ->
    Logged = lists:join(", ", [
        io_lib:format("`~s`~s~s", [Event, words(Words), times(Count)])
     || {Event, Words, Count} <- Reasons, Count > 0
    ]),
    Format = "| ~ts | ~.1f | ~.1f | ~.1f | ~.1f | ~ts |~n",
    write_table(io_lib:format(Format, [Title, Before, Peak, After, Slowest, Logged]), [append]).

words("node=") -> "";
words("reason=" ++ Reason) -> [" ", Reason];
words(Words) -> [" ", Words].

times(1) -> "";
times(some) -> " × some";
times(Count) -> io_lib:format(" × ~B", [Count]).

write_table(Text, Modes) ->
    case os:getenv("TB_HOSTILE_TABLE", "") of
        "" -> ok;
        File -> file:write_file(File, unicode:characters_to_binary(Text), Modes)
    end.

%% ----------------------------------------------------------------- peers

-spec name(integer()) -> atom().
name(I) ->
    list_to_atom(tb_lib:name(raw, I) ++ "@" ++ tb_lib:host()).

%% A peer with the right cookie; its socket is raw from here on, so that
%% lengths can be wrong.
-spec connect(context(), integer()) -> tb_raw:peer().
connect(#{node := N}, I) ->
    Peer = tb_raw:connect(N, name(I)),
    ok = raw(tb_raw:plain_socket(Peer)),
    Peer.

-spec dial(context()) -> gen_tcp:socket().
dial(#{node := N}) ->
    Socket = tb_raw:plain_socket(tb_raw:dial(N)),
    ok = raw(Socket),
    Socket.

-spec dials(context(), pos_integer()) -> [gen_tcp:socket()].
dials(Context, Count) ->
    [dial(Context) || _ <- lists:seq(1, Count)].

-spec raw(gen_tcp:socket()) -> ok.
raw(Socket) ->
    inet:setopts(Socket, [{packet, raw}, {send_timeout, ?STUCK_MS}, {buffer, 65536}]).

%% Where a daemon listens.
-spec port(context()) -> inet:port_number().
port(#{node := N}) ->
    [Alive, _] = string:split(atom_to_list(N), "@"),
    {ok, Names} = tb_raw:names(tb_lib:epmd_port()),
    {Alive, Port} = lists:keyfind(Alive, 1, Names),
    Port.

%% Sends as much of these as is taken: all of it, or until the other side has
%% closed or has not read for ?STUCK_MS.
-spec pour(gen_tcp:socket(), [iodata()]) -> ok | closed | stuck.
pour(_, []) ->
    ok;
pour(Socket, [Bytes | More]) ->
    case gen_tcp:send(Socket, Bytes) of
        ok -> pour(Socket, More);
        {error, timeout} -> stuck;
        {error, _} -> closed
    end.

%% All of it; the other side may be busy for a while, but goes on to read.
-spec pour_all(gen_tcp:socket(), [iodata()]) -> ok.
pour_all(Socket, Frames) ->
    ok = inet:setopts(Socket, [{send_timeout, ?PATIENCE}]),
    ok = pour(Socket, Frames),
    inet:setopts(Socket, [{send_timeout, ?STUCK_MS}]).

%% Reads, and throws away, until the other side closes.
-spec until_closed(gen_tcp:socket()) -> ok.
until_closed(Socket) ->
    case gen_tcp:recv(Socket, 0, ?PATIENCE) of
        {ok, _} -> until_closed(Socket);
        {error, timeout} -> error(not_closed);
        {error, _} -> gen_tcp:close(Socket)
    end.

%% Reads, and throws away, while Fun runs.
-spec reading(gen_tcp:socket(), fun(() -> Result)) -> Result.
reading(Socket, Fun) ->
    Reader = spawn_link(fun() -> read_on(Socket) end),
    Result = Fun(),
    Reader ! {self(), stop},
    receive
        {Reader, stopped} -> Result
    end.

read_on(Socket) ->
    receive
        {From, stop} -> From ! {self(), stopped}
    after 0 ->
        _ = gen_tcp:recv(Socket, 0, 20),
        read_on(Socket)
    end.

%% At once, whatever waits to be sent.
-spec close(gen_tcp:socket()) -> ok.
close(Socket) ->
    _ = inet:setopts(Socket, [{linger, {true, 0}}]),
    gen_tcp:close(Socket).

%% ----------------------------------------------------------------- bytes

%% A control message, encoded already, with its length before it.
-spec frame(iodata()) -> binary().
frame(Control) ->
    frame(Control, none).

-spec frame(iodata(), iodata() | none) -> binary().
frame(Control, none) ->
    counted([112, 131, Control]);
frame(Control, Payload) ->
    counted([112, 131, Control, 131, Payload]).

counted(Bytes) ->
    Binary = iolist_to_binary(Bytes),
    <<(byte_size(Binary)):32, Binary/binary>>.

%% A term without the version byte.
-spec etf(term()) -> binary().
etf(Term) ->
    <<131, Bytes/binary>> = term_to_binary(Term),
    Bytes.

%% An atom that this VM need not know.
-spec atom(iodata()) -> binary().
atom(Text) ->
    Bytes = iolist_to_binary(Text),
    <<119, (byte_size(Bytes)), Bytes/binary>>.

-spec atom(string(), integer()) -> binary().
atom(Prefix, I) ->
    atom([Prefix, integer_to_list(I)]).

%% What follows takes the name of a node as the bytes of an atom.
-spec node_of(integer()) -> binary().
node_of(I) ->
    atom(atom_to_list(name(I))).

-spec pid(binary(), non_neg_integer()) -> binary().
pid(Node, Id) ->
    <<88, Node/binary, Id:32, 0:32, 16#BEEF:32>>.

-spec ref(binary(), non_neg_integer()) -> binary().
ref(Node, I) ->
    <<90, 3:16, Node/binary, 16#BEEF:32, (I band 16#3FFFF):32, (I bsr 18):32, 0:32>>.

-spec tuple([iodata()]) -> iodata().
tuple(Elements) ->
    [104, length(Elements) | Elements].
