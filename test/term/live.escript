#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%%! +pc unicode
%% Random terms of every type, hashed, printed and parsed by C and by a real VM.
%% Usage: escript live.escript Helper [Terms [Seed]]; or, without arguments,
%% the helper is what LIVE_TERMS names.
-mode(compile).

main([]) ->
    main([os:getenv("LIVE_TERMS", "build/release/test/term/live_terms")]);
main([Helper]) ->
    main([Helper, "6000"]);
main([Helper, Terms]) ->
    main([Helper, Terms, integer_to_list(erlang:system_time(second))]);
main([Helper, Terms, Seed]) ->
    rand:seed(exsss, list_to_integer(Seed)),
    Port = open_port({spawn_executable, Helper},
                     [{packet, 4}, binary, use_stdio, exit_status]),
    Fixed = fixed(),
    Count = list_to_integer(Terms),
    Random = [random_term(I) || I <- lists:seq(1, Count)],
    Results = [run(Port, T) || T <- Fixed ++ Random],
    Failed = [F || {failed, _, _} = F <- Results],
    [report(F) || F <- lists:sublist(Failed, 20)],
    io:format("seed ~s: ~w compared as text, ~w as text for people, "
              "~w parsed~n",
              [Seed | [length([1 || {passed, Done} <- Results,
                                    lists:member(What, Done)])
                       || What <- [text, pretty, parsed]]]),
    io:format("~w passed, ~w failed~n",
              [length(Results) - length(Failed), length(Failed)]),
    halt(min(length(Failed), 1)).

report({failed, T, Why}) ->
    io:format("FAILED ~tp~n  ~0tp~n", [Why, T]).

%% ---------------------------------------------------------- one term --

run(Port, T) ->
    Range = rand:uniform(16#ffffffff),
    Bytes = encode(T),
    Text = case is_parsable(T) of
               true -> text("~tw", T);
               false -> <<>>
           end,
    port_command(Port, [<<Range:32, (byte_size(Bytes)):32>>, Bytes, Text]),
    receive
        {Port, {data, <<H27:32, H32:32, HR:32,
                        N1:32, Printed:N1/binary,
                        N2:32, Pretty:N2/binary,
                        N3:32, Parsed:N3/binary>>}} ->
            check(T, [{phash2, H27, erlang:phash2(T)},
                      {phash2_32, H32, erlang:phash2(T, 1 bsl 32)},
                      {phash2_range, HR, erlang:phash2(T, Range)}
                      | compare_text(T, Printed)
                        ++ compare_pretty(T, Pretty)
                        ++ compare_parsed(T, Text, Parsed)]);
        {Port, {data, Why}} ->
            {failed, T, Why};
        {Port, {exit_status, Status}} ->
            io:format("the helper ended with ~w, at ~0tp~n", [Status, T]),
            halt(2)
    after 60000 ->
        io:format("no answer for ~0tp~n", [T]),
        halt(2)
    end.

check(T, Checks) ->
    case [C || {_, Got, Expected} = C <- Checks, Got =/= Expected] of
        [] -> {passed, [What || {What, _, _} <- Checks]};
        Bad -> {failed, T, Bad}
    end.

%% The pairs of a large map go over the wire in another order than in text.
compare_text(T, Printed) ->
    [{text, Printed, text("~tw", T)}
     || is_printable(T), not has(fun is_large_map/1, T)]
        ++ [{reads_back, read(Printed), T}
            || is_parsable(T), has(fun is_large_map/1, T),
               not has(fun is_atom/1, T)].

compare_pretty(T, Pretty) ->
    [{pretty, Pretty, text("~0tp", T)}
     || is_printable(T), not has(fun is_latin1_text/1, T),
        not has(fun is_large_map/1, T)].

%% (Atoms are left out: the VM refuses to read some of those it prints.)
read(Printed) ->
    {ok, Tokens, _} =
        erl_scan:string(unicode:characters_to_list(Printed) ++ "."),
    {ok, T} = erl_parse:parse_term(Tokens),
    T.

compare_parsed(_, <<>>, _) ->
    [];
compare_parsed(T, _, Parsed) ->
    [{same_term, binary_to_term(<<131, Parsed/binary>>), T}
     | [{parsed, <<131, Parsed/binary>>,
         term_to_binary(T, [{minor_version, 2}])}
        || not has(fun is_large_map/1, T)]].

%% Atoms as UTF-8, or those of Latin-1 as such, as OTP 25 sends them.
encode(T) ->
    <<131, Bytes/binary>> =
        term_to_binary(T, [{minor_version, rand:uniform(2)}]),
    Bytes.

text(Format, T) ->
    unicode:characters_to_binary(io_lib:format(Format, [T])).

is_printable(T) ->
    not has(fun(X) ->
                    is_pid(X) orelse is_reference(X) orelse is_port(X)
                        orelse is_local_fun(X)
            end, T).

is_parsable(T) ->
    is_printable(T)
        andalso not has(fun(X) ->
                                is_bitstring(X) andalso not is_binary(X)
                        end, T).

is_large_map(X) ->
    is_map(X) andalso map_size(X) > 32.

is_local_fun(X) ->
    is_function(X) andalso erlang:fun_info(X, type) =:= {type, local}.

%% What is no UTF-8 is for us no text at all, while "~tp" takes it for Latin-1.
is_latin1_text(B) when is_binary(B) ->
    not is_list(unicode:characters_to_list(B));
is_latin1_text(_) ->
    false.

has(Pred, T) ->
    Pred(T) orelse
        case T of
            [H | Rest] -> has(Pred, H) orelse has(Pred, Rest);
            _ when is_tuple(T) -> has(Pred, tuple_to_list(T));
            _ when is_map(T) -> has(Pred, maps:to_list(T));
            _ -> false
        end.

%% -------------------------------------------------------- generators --

random_term(I) when I rem 4 =:= 0 ->
    nested(1 + rand:uniform(4));
random_term(_) ->
    leaf().

leaf() ->
    case rand:uniform(17) of
        1 -> rand:uniform(600) - 300;
        2 -> edge();
        3 -> big(2100);
        4 -> big(80);
        5 -> float();
        6 -> float();
        7 -> atom();
        8 -> atom();
        9 -> charlist();
        10 -> rand:bytes(rand:uniform(40) - 1);
        11 -> unicode:characters_to_binary(charlist());
        12 -> bits();
        13 -> export();
        14 -> local_fun();
        15 -> identifier();
        16 -> pick([[], {}, #{}, <<>>, "", '', 0, -1, 0.0, -0.0]);
        17 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(30))]
    end.

nested(0) ->
    leaf();
nested(Depth) ->
    Sub = fun() -> nested(rand:uniform(Depth) - 1) end,
    Many = fun(Max) -> [Sub() || _ <- lists:seq(1, rand:uniform(Max + 1) - 1)]
           end,
    case rand:uniform(9) of
        1 -> Many(6);
        2 -> list_to_tuple(Many(6));
        3 -> [leaf() | Many(3)] ++ leaf();
        4 -> maps:from_list([{Sub(), Sub()} || _ <- Many(8)]);
        5 -> maps:from_list([{leaf(), leaf()}
                             || _ <- lists:seq(1, rand:uniform(80))]);
        6 -> list_to_tuple([leaf() || _ <- lists:seq(1, rand:uniform(300))]);
        7 -> [rand:uniform(256) - 1 || _ <- Many(9)] ++ Many(2);
        8 -> "ab" ++ [Sub() | "cdefg"];
        9 -> {Sub(), [Sub() | Sub()], #{Sub() => Sub()}}
    end.

pick(List) ->
    lists:nth(rand:uniform(length(List)), List).

edge() ->
    Bits = pick([7, 8, 15, 16, 26, 27, 28, 31, 32, 47, 48, 58, 59, 60, 63, 64,
                 65, 127, 128, 512, 2032, 2040, 2048]),
    pick([1, -1]) * ((1 bsl Bits) + pick([-1, 0, 1])).

big(Bits) ->
    N = rand:uniform(Bits),
    pick([1, -1]) * (rand:uniform(1 bsl N) - 1).

float() ->
    case rand:uniform(6) of
        1 -> bit_float();
        2 -> (rand:uniform() - 0.5) * 100;
        3 -> float(rand:uniform(2000) - 1000);
        4 -> rand:uniform(1 bsl 60) / 1;
        5 -> pick([1, -1]) * math:pow(2, rand:uniform(2040) - 1020);
        6 -> (rand:uniform(100000) - 50000)
                 * math:pow(10, rand:uniform(40) - 20)
    end.

bit_float() ->
    try
        <<F/float>> = rand:bytes(8),
        F
    catch
        error:{badmatch, _} -> bit_float()
    end.

atom() ->
    case rand:uniform(8) of
        1 -> pick(['after', 'and', 'andalso', 'band', 'begin', 'bnot', 'bor',
                   'bsl', 'bsr', 'bxor', 'case', 'catch', 'cond', 'div', 'end',
                   'fun', 'if', 'let', 'not', 'of', 'or', 'orelse', 'receive',
                   'rem', 'try', 'when', 'xor']);
        2 -> pick([ok, error, undefined, true, false, '', '$gen_call', a@b,
                   'Elixir.GenServer', 'node@127.0.0.1', spec, query, ab_C9]);
        3 -> list_to_atom(chars(rand:uniform(6), 16#7f));
        4 -> list_to_atom(chars(rand:uniform(6), 16#ff));
        5 -> list_to_atom(chars(rand:uniform(6), 16#10ffff));
        6 -> list_to_atom(chars(200 + rand:uniform(55), 16#10ffff));
        7 -> list_to_atom([$a - 1 + rand:uniform(26)
                           | chars(rand:uniform(4), $z)]);
        8 -> list_to_atom([pick([223, 247, 228, 255, $a])
                           | [pick([$a, $Z, $_, $@, $0, 215, 216, 222, 247])
                              || _ <- lists:seq(1, rand:uniform(5))]])
    end.

chars(N, Max) ->
    [char(Max) || _ <- lists:seq(1, N)].

char(Max) ->
    case rand:uniform(Max + 1) - 1 of
        C when C >= 16#d800, C < 16#e000 -> char(Max);
        C -> C
    end.

charlist() ->
    case rand:uniform(5) of
        1 -> chars(rand:uniform(12), 16#7f);
        2 -> [$\s - 1 + rand:uniform(95)
              || _ <- lists:seq(1, rand:uniform(30))];
        3 -> chars(rand:uniform(12), 16#ff);
        4 -> chars(rand:uniform(8), 16#10ffff);
        5 -> [pick("\n\r\t\v\b\f\e\\\"'~% ab" ++ [16#7f, 0, 16#e5, 16#1f600])
              || _ <- lists:seq(1, rand:uniform(12))]
    end.

bits() ->
    N = rand:uniform(200),
    <<B:N/bitstring, _/bitstring>> = rand:bytes(25),
    B.

export() ->
    pick([fun lists:map/2, fun erlang:phash2/1, fun 'Elixir.Enum':map/2,
          fun erlang:'+'/2, fun m:'F'/255, fun a_b:'x y'/0]).

local_fun() ->
    A = leaf(),
    B = {A, rand:uniform(1000)},
    pick([fun() -> ok end, fun(X) -> {X, A} end, fun(X, Y) -> {X, Y, A, B} end,
          fun text/2]).

identifier() ->
    Node = pick([<<119, 3, "x@y">>, <<100, 0, 7, "app@h-1">>,
                 <<118, 0, 6, "ä@host"/utf8>>]),
    Creation = rand:uniform(16#ffffffff),
    Id = rand:uniform(16#7fff),
    Words = rand:uniform(5),
    Wire = case rand:uniform(4) of
               1 -> [88, Node, <<Id:32, (rand:uniform(8191)):32, Creation:32>>];
               2 -> [89, Node, <<Id:32, Creation:32>>];
               3 -> [120, Node, <<(rand:uniform(1 bsl 60)):64, Creation:32>>];
               4 -> [90, <<Words:16>>, Node, <<Creation:32, Id:32>>,
                     rand:bytes(4 * (Words - 1))]
           end,
    pick([self(), make_ref(), binary_to_term(iolist_to_binary([131, Wire]))]).

%% ------------------------------------------------------- fixed terms --

fixed() ->
    [Sign * (1 bsl B + D) || B <- lists:seq(0, 70), D <- [-1, 0, 1],
                             Sign <- [1, -1]]
        ++ [1 bsl 20000, -(1 bsl 30000) + 1, 1 bsl 65535]
        ++ [math:pow(2, E) || E <- lists:seq(-1022, 1023)]
        ++ [math:pow(10, E) * M || E <- lists:seq(-25, 25),
                                   M <- [1, 1.2, 1.2345, 123456789]]
        ++ [binary_to_term(<<131, 70, M:64>>)
            || M <- [1, 2, 3, 1 bsl 52 - 1, 1 bsl 52, 1 bsl 52 + 1]]
        ++ [list_to_atom([C]) || C <- lists:seq(0, 400)]
        ++ [list_to_atom([$a, C]) || C <- lists:seq(0, 400)]
        ++ [[C] || C <- lists:seq(0, 400)]
        ++ [list_to_tuple(lists:seq(1, N)) || N <- [254, 255, 256, 300]]
        ++ [{X, list_to_tuple(lists:duplicate(256, X))} || X <- [a, "b", [c]]]
        ++ [lists:duplicate(N, $x) || N <- [65534, 65535, 65536]]
        ++ [lists:seq(1, 255), lists:seq(1, 256), [1, 2 | 3], [256 | 1]]
        ++ [maps:from_list([{K, K} || K <- lists:seq(1, N)])
            || N <- [1, 31, 32, 33, 80, 1000]]
        ++ [maps:from_list([{{K, [K], K / 7, <<K>>}, #{K => K}}
                            || K <- lists:seq(1, N)]) || N <- [33, 80]]
        ++ [binary:copy(<<"xyz">>, N) || N <- [1, 3, 4, 5, 100000]]
        ++ [<<0:N>> || N <- lists:seq(0, 17)]
        ++ [lists:foldl(fun(_, A) -> {A} end, deep, lists:seq(1, 60)),
            lists:foldl(fun(_, A) -> [A] end, deep, lists:seq(1, 60)),
            lists:foldl(fun(_, A) -> #{A => A} end, deep, lists:seq(1, 12)),
            [[], [[]], [[], [a | b]]], {"", <<>>, [<<>>], [[] | a]}].
