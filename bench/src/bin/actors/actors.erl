%% gen_server, measured as the other contenders are: asked on standard input, one figure a line.
-module(actors).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2]).

init([]) -> {ok, 0}.

handle_call(total, _From, Count) -> {reply, Count, Count}.

handle_cast({add, Number}, Count) -> {noreply, Count + Number}.

main() ->
    case io:get_line("") of
        "one_caller\n" -> answer(one_caller());
        "many_callers\n" -> answer(many_callers());
        "casts\n" -> answer(casts());
        "lives\n" -> answer(lives());
        _ -> halt()
    end,
    main().

answer(Figure) -> io:format("~.6f~n", [Figure]).

one_caller() ->
    {ok, Server} = gen_server:start(?MODULE, [], []),
    Batches = [nanoseconds(fun() -> calls(Server, 1000) end) / 1000 || _ <- lists:seq(1, 200)],
    gen_server:stop(Server),
    lists:nth(101, lists:sort(Batches)).

many_callers() ->
    {ok, Server} = gen_server:start(?MODULE, [], []),
    Took = nanoseconds(fun() ->
        Callers = [spawn_monitor(fun() -> calls(Server, 10000) end) || _ <- lists:seq(1, 64)],
        [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Callers]
    end),
    gen_server:stop(Server),
    64 * 10000 / Took * 1000.

casts() ->
    {ok, Server} = gen_server:start(?MODULE, [], []),
    Took = nanoseconds(fun() ->
        send(Server, 1000000),
        1000000 = gen_server:call(Server, total, infinity)
    end),
    gen_server:stop(Server),
    1000000 / Took * 1000.

lives() ->
    Took = nanoseconds(fun() ->
        Servers = [element(2, gen_server:start(?MODULE, [], [])) || _ <- lists:seq(1, 100000)],
        [gen_server:stop(Server) || Server <- Servers]
    end),
    Took / 1.0e9.

calls(_, 0) -> ok;
calls(Server, Left) ->
    gen_server:call(Server, total),
    calls(Server, Left - 1).

send(_, 0) -> ok;
send(Server, Left) ->
    gen_server:cast(Server, {add, 1}),
    send(Server, Left - 1).

nanoseconds(Work) ->
    Began = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Began.
