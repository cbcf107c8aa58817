%% The loads of drive.rs, as an Erlang programmer writes them: processes, `!`, and a call by reference.
-module(bench).
-export([receiver/0, sender/0]).

receiver() ->
    register(sink, self()),
    register(echo, spawn(fun() -> serve(0) end)),
    io:format("ready~n"),
    spawn(fun() -> io:get_line(""), usage(), halt() end),
    serve(0).

serve(Casts) ->
    receive
        {call, From, Ref, <<"count">>} -> From ! {Ref, Casts}, serve(Casts);
        {call, From, Ref, Body} -> From ! {Ref, Body}, serve(Casts);
        _Cast -> serve(Casts + 1)
    end.

sender() ->
    [Node, Kind, A, B] = init:get_plain_arguments(),
    To = {sink, list_to_atom(Node)},
    warm(To, 100),
    Cpu0 = cpu(),
    Map = run(Kind, To, list_to_integer(A), list_to_integer(B)),
    Messages = maps:get(messages, Map),
    print(Map#{cpu_us => (cpu() - Cpu0), sender_peak_mb => peak(), messages => Messages}),
    halt().

%% The first message connects the nodes; until then calls go nowhere.
warm(_To, 0) -> exit(unreachable);
warm({_, Node} = To, Left) ->
    case net_adm:ping(Node) of
        pong -> call(To, <<"warm">>);
        pang -> timer:sleep(50), warm(To, Left - 1)
    end.

call(To, Body) ->
    Ref = make_ref(),
    To ! {call, self(), Ref, Body},
    receive {Ref, Reply} -> Reply after 20000 -> exit(timeout) end.

run("casts", To, Count, Bytes) ->
    Body = binary:copy(<<7>>, Bytes),
    Start = now_us(),
    casts(To, Body, Count),
    Arrived = arrived(To, Count, Start),
    Seconds = (now_us() - Start) / 1.0e6,
    #{rate => Arrived / Seconds, megabytes_a_second => Arrived * Bytes / Seconds / 1.0e6,
      dropped => Count - Arrived, messages => Count, p50_us => 0.0, p99_us => 0.0};
run("calls", To, Callers, Each) ->
    Self = self(),
    Start = now_us(),
    Pids = [spawn(fun() -> Self ! {self(), latencies(To, Each)} end) || _ <- lists:seq(1, Callers)],
    All = lists:append([receive {Pid, L} -> L end || Pid <- Pids]),
    Seconds = (now_us() - Start) / 1.0e6,
    (percentiles(All))#{rate => length(All) / Seconds, megabytes_a_second => 0.0, dropped => 0, messages => length(All)};
run("saturated", To, Calls, _) ->
    Body = binary:copy(<<7>>, 1 bsl 20),
    Alone = 400,
    #{megabytes_a_second := Unshared} = run("casts", To, Alone, 1 bsl 20),
    Self = self(),
    {_, Node} = To,
    Start = now_us(),
    Caster = spawn(fun() -> saturate(To, Body, Self, 0) end),
    Latencies = latencies({echo, Node}, Calls),
    Caster ! {stop, self()},
    Count = Alone + receive {casts, N} -> N end,
    Arrived = arrived(To, Count, Start),
    Seconds = (now_us() - Start) / 1.0e6,
    Shared = (Arrived - Alone) * 1.048576 / Seconds,
    (percentiles(Latencies))#{rate => 0.0, megabytes_a_second => Shared, part_of_unshared => Shared / Unshared,
      dropped => Count - Arrived, messages => Count}.

casts(_, _, 0) -> ok;
casts(To, Body, Left) -> To ! Body, casts(To, Body, Left - 1).

saturate(To, Body, Owner, Count) ->
    receive {stop, From} -> From ! {casts, Count}
    after 0 -> To ! Body, saturate(To, Body, Owner, Count + 1) end.

arrived(To, Count, Start) ->
    case call(To, <<"count">>) of
        Count -> Count;
        Fewer -> case now_us() - Start > 40000000 of true -> Fewer; false -> arrived(To, Count, Start) end
    end.

latencies(To, Each) ->
    Body = binary:copy(<<7>>, 64),
    [begin T = now_us_ns(), call(To, Body), (now_us_ns() - T) / 1000 end || _ <- lists:seq(1, Each)].

percentiles(All) ->
    Sorted = lists:sort(All), N = length(Sorted),
    #{p50_us => lists:nth(1 + (N - 1) div 2, Sorted), p99_us => lists:nth(1 + (N - 1) * 99 div 100, Sorted)}.

now_us() -> erlang:monotonic_time(microsecond).
now_us_ns() -> erlang:monotonic_time(nanosecond).

%% Of the whole emulator, from the system's own books.
cpu() ->
    {ok, Stat} = file:read_file("/proc/self/stat"),
    Fields = string:lexemes(lists:last(string:split(binary_to_list(Stat), ")", trailing)), " "),
    10000.0 * (list_to_integer(lists:nth(12, Fields)) + list_to_integer(lists:nth(13, Fields))).

peak() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kb]} = re:run(Status, "VmHWM:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kb) / 1024.0.

usage() -> io:format("{\"cpu_us\":~f,\"peak_mb\":~f}~n", [cpu() * 1.0, peak()]).

print(Map) ->
    Pairs = [io_lib:format("\"~s\":~s", [K, number(V)]) || {K, V} <- maps:to_list(Map)],
    io:format("{~s}~n", [lists:join(",", Pairs)]).

number(V) when is_integer(V) -> integer_to_list(V);
number(V) -> io_lib:format("~f", [V]).
