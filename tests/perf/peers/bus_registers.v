// Registers behind the simplest read port there is: an address in one cycle, its data in the next.
`timescale 1ns / 1ns
module bus_registers(
    input wire clk,
    input wire read,
    input wire [31:0] addr,
    output reg valid,
    output reg [31:0] data
);
    reg [31:0] word [0:1023];
    integer i;

    initial begin
        valid = 0;
        for (i = 0; i < 1024; i = i + 1)
            word[i] = i;
    end

    always @(posedge clk) begin
        valid <= read;
        data <= word[addr[11:2]];
    end
endmodule
