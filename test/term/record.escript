#!/usr/bin/env escript
%% record.escript - records terms as a real node writes them, for test_check
%% and test_get_put. Run it at the top of the tree with the `erl` in PATH:
%%
%%     escript test/term/record.escript
%%
%% writes test/data/otpNN/terms.bin: for each term a length u32 and what
%% term_to_binary/2 gives, its version byte included, with the atoms in UTF-8
%% that connected nodes agree upon. Pids, ports and
%% references of other nodes come in by binary_to_term/1 and go out as the node
%% writes them. The random terms are the same each time.
-mode(compile).

main([]) ->
    rand:seed(exsss, {1, 2, 3}),
    Terms = numbers() ++ texts() ++ containers() ++ identifiers() ++ funs() ++
        messages() ++ [random_term(N rem 5) || N <- lists:seq(1, 150)],
    Bytes = [[<<(byte_size(B)):32>>, B] || B <- [encode(T) || T <- Terms]],
    Release = erlang:system_info(otp_release),
    File = filename:join(["test", "data", "otp" ++ Release, "terms.bin"]),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Bytes),
    io:format("~s: ~p terms, ~p bytes~n",
              [File, length(Terms), iolist_size(Bytes)]).

encode(Term) ->
    term_to_binary(Term, [{minor_version, 2}]).

numbers() ->
    Edges = [Sign * (1 bsl Bits) + By || Bits <- [0, 7, 8, 15, 16, 27, 28, 31,
                                                  32, 59, 60, 63, 64, 2039,
                                                  2040, 2048],
                                         Sign <- [1, -1], By <- [-1, 0, 1]],
    [0] ++ Edges ++
        [0.0, -0.0, 1.0, -1.5, 0.1, 1.0e300, 5.0e-324, 2.2250738585072014e-308,
         1.7976931348623157e308, 9007199254740993.0].

texts() ->
    ['', a, ok, 'true', 'hello world', 'Upper', '\x{e5}\x{e4}\x{f6}', '\x{65e5}',
     list_to_atom(lists:duplicate(255, $a)),
     list_to_atom(lists:duplicate(255, 16#1f600)),
     'a@b', 'nul\0nul',
     <<>>, <<"bytes">>, <<0:800>>, <<255, 0, 128>>, <<"\x{65e5}"/utf8>>,
     <<1:1>>, <<5:3>>, <<255, 1:7>>, <<0:15>>,
     "", "text", [0], [255], [256], "\x{65e5}\x{672c}",
     lists:duplicate(1000, $x), lists:duplicate(300, 256)].

containers() ->
    Nested = fun(F) -> lists:foldl(F, [], lists:seq(1, 60)) end,
    [{}, {a}, {{}}, list_to_tuple(lists:seq(1, 255)),
     list_to_tuple(lists:seq(1, 256)), [a | b], [1, 2 | c], [[]], [[[]]],
     [a, "text" | "tail"], [alias | <<>>],
     #{}, #{a => 1}, #{1 => a, "k" => #{}, <<"k">> => [], {k} => 1.5},
     maps:from_list([{N, N * N} || N <- lists:seq(1, 100)]),
     Nested(fun(_, T) -> {T} end), Nested(fun(_, T) -> [T] end),
     Nested(fun(N, T) -> #{N => T} end), Nested(fun(N, T) -> [N, T | x] end)].

identifiers() ->
    Local = [self(), make_ref(), hd(erlang:ports())],
    Node = <<119, 11, "b@127.0.0.1">>,
    Long = <<119, 255, (binary:copy(<<"n">>, 247))/binary, "@example">>,
    Local ++ [binary_to_term(<<131, B/binary>>) || B <- [
        <<88, Node/binary, 90:32, 0:32, 16#6b00e07d:32>>,
        <<88, Node/binary, 32767:32, 8191:32, 4:32>>,
        <<88, Node/binary, 16#ffffffff:32, 16#ffffffff:32, 16#ffffffff:32>>,
        <<88, Long/binary, 1:32, 0:32, 7:32>>,
        <<103, Node/binary, 90:32, 1:32, 3>>,
        <<89, Node/binary, 5:32, 4:32>>,
        <<120, Node/binary, 5:64, 4:32>>,
        <<120, Node/binary, 16#ffffffffffffffff:64, 4:32>>,
        <<102, Node/binary, 5:32, 3>>,
        <<101, Node/binary, 5:32, 3>>,
        <<114, 3:16, Node/binary, 2, 1:32, 2:32, 3:32>>
        | [<<90, N:16, Node/binary, 16#6b00e07d:32, 1:(32 * N)>>
           || N <- [1, 2, 3, 4, 5]]]].

funs() ->
    A = 1, B = <<"captured">>,
    [fun erlang:apply/2, fun lists:map/2, fun() -> ok end, fun(X) -> X + A end,
     fun(X, Y) -> {X, Y, A, B} end].

messages() ->
    R = make_ref(),
    [{'$gen_call', {self(), R}, which_children},
     {'$gen_call', {self(), [alias | R]}, {get, #{key => "value"}}},
     {'$gen_cast', stop}, {R, {ok, [1, 2, 3]}},
     {'DOWN', R, process, self(), noproc},
     {'DOWN', R, process, {name, 'b@127.0.0.1'}, noconnection},
     {'EXIT', self(), {{badmatch, {error, enoent}},
                       [{m, f, 2, [{file, "m.erl"}, {line, 17}]}]}},
     {nodeup, 'b@127.0.0.1', #{connection_id => 1, node_type => hidden}},
     {nodedown, 'b@127.0.0.1', [{nodedown_reason, connection_closed}]},
     {system, {self(), R}, get_state},
     {log, info, "~p~n", [R], #{time => 1, pid => self(), gl => self()}}].

random_term(0) ->
    pick([fun() -> rand:uniform(1 bsl 20) - (1 bsl 19) end,
          fun() -> rand:uniform(1 bsl 80) - (1 bsl 79) end,
          fun() -> rand:normal() * 1.0e10 end,
          fun() -> pick_of([a, b, ok, error, undefined, 'b@127.0.0.1']) end,
          fun() -> rand:bytes(rand:uniform(20) - 1) end,
          fun() -> [rand:uniform(256) - 1 || _ <- count(8)] end,
          fun() -> self() end, fun() -> make_ref() end, fun() -> [] end]);
random_term(Depth) ->
    Next = fun() -> random_term(rand:uniform(Depth) - 1) end,
    pick([fun() -> list_to_tuple([Next() || _ <- count(5)]) end,
          fun() -> [Next() || _ <- count(5)] end,
          fun() -> [Next(), Next() | Next()] end,
          fun() -> maps:from_list([{Next(), Next()} || _ <- count(4)]) end]).

count(Max) -> lists:seq(1, rand:uniform(Max) - 1).
pick(Funs) -> (pick_of(Funs))().
pick_of(List) -> lists:nth(rand:uniform(length(List)), List).
