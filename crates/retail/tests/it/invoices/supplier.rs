//! What suppliers send: Facturas A with discounts, perceptions, several rates and layouts of every kind.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "two rates, a discount, an article over two lines",
        text: "                                   ORIGINAL
DISTRIBUIDORA LITORAL S.R.L.          A              FACTURA
                                   COD. 001
Razón Social: DISTRIBUIDORA LITORAL S.R.L.        Punto de Venta: 00012   Comp. Nro: 00045871
Domicilio Comercial: Av. Alberdi 2450 - Rosario   Fecha de Emisión: 14/03/2025
Condición frente al IVA: IVA Responsable Inscripto  CUIT: 30-71234567-1
Ingresos Brutos: 921-745632-1                      Inicio de Actividades: 01/08/2011

CUIT: 30-70987654-2   Apellido y Nombre / Razón Social: ALMACENES DEL SUR S.A.
Condición frente al IVA: IVA Responsable Inscripto   Domicilio: Belgrano 771
Condición de venta: Cuenta Corriente

Código  Producto / Servicio         Cantidad  U. Medida  Precio Unit.  % Bonif  Subtotal   Alicuota IVA  Subtotal c/IVA
1001    Yerba mate x 1kg              24,00   unidades      2.150,00     5,00   49.020,00    21%         59.314,20
2040    Harina 000 x 25kg             10,00   bolsa        14.800,00     0,00  148.000,00    10,5%      163.540,00
3077    Aceite girasol 1,5 L
        caja x 12 unidades             3,00   cajas        38.400,00     0,00  115.200,00    21%        139.392,00

                                          Importe Neto Gravado: $      312.220,00
                                          IVA 27%: $                         0,00
                                          IVA 21%: $                    34.486,20
                                          IVA 10.5%: $                  15.540,00
                                          IVA 5%: $                          0,00
                                          IVA 2.5%: $                        0,00
                                          IVA 0%: $                          0,00
                                          Importe Otros Tributos: $      9.366,60
                                          Importe Total: $             371.612,80
CAE N°: 75123456789012
Fecha de Vto. de CAE: 24/03/2025
",
        facts: &[
            ("/number", "00012-00045871"),
            ("/items", "3"),
            ("/items/0/description", "Yerba mate x 1kg"),
            ("/items/0/discount_percent", "5.00"),
            ("/items/1/vat_rate", "10.5"),
            ("/items/2/code", "3077"),
            ("/items/2/description", "Aceite girasol 1,5 L caja x 12 unidades"),
            ("/items/2/quantity", "3.00"),
            ("/totals/vat", "2"),
            ("/totals/other_taxes", "9366.60"),
            ("/totals/total", "371612.80"),
        ],
        codes: &[],
    },
    Case {
        name: "perceptions with province and resolution, dates with dashes",
        text: r#"FACTURA "A"   Nro. 0004-00012390
Fecha 03-02-2025            Vto. pago: 05-03-2025
MAYORISTA NORTE SA
CUIT 30-71234567-1  IIBB CM 901-234567-8
Sres.: FERRETERIA EL TORNILLO SRL     C.U.I.T.: 30-70987654-2
Cant  Art.    Descripcion                  P.Unit      Dto%    Importe
 12   TX-40   Taladro percutor 750W        85.300,50   10      921.245,40
100   M8x50   Bulon hex. zincado              210,00           21.000,00
  1   FLETE   Flete y seguro               15.000,00           15.000,00
Subtotal                   957.245,40
Neto Gravado               957.245,40
IVA 21,00 %                201.021,53
Perc. IIBB Santa Fe 3,5%    33.503,59
Percep. IVA RG 2408 3%      28.717,36
TOTAL $                  1.220.487,88
CAE 75098765432109  Vto CAE 13-02-2025
"#,
        facts: &[
            ("/issue_date", "2025-02-03"),
            ("/due_date", "2025-03-05"),
            ("/items/0/discount_percent", "10"),
            ("/items/1/code", "M8x50"),
            ("/totals/perceptions/0/label", "perc. iibb santa fe"),
            ("/totals/perceptions/0/amount", "33503.59"),
            ("/totals/perceptions/1/label", "percep. iva rg 2408"),
            ("/totals/perceptions/1/amount", "28717.36"),
            ("/totals/total", "1220487.88"),
        ],
        codes: &[],
    },
    Case {
        name: "gaps inside amounts, bare CUITs, dates with points",
        text: "FACTURA A 0001 - 00000412
Fecha: 07.04.2025
Emisor: IMPORTADORA DEL PLATA S.A. - CUIT 30712345671
Cliente: BAZAR CENTRO SRL - CUIT 30709876542
Cantidad  Descripcion             Precio Unitario    Importe
 6        Juego de ollas acero    $ 45 . 000,00      $ 270.000 ,00
 4        Sarten 24 cm            $ 18 500,00        $ 74 000,00
Neto gravado   $ 344.000,00
IVA 21 %       $ 72.240,00
Total          $ 416.240,00
CAE 75555666777888 - Vto CAE 17.04.2025
",
        facts: &[
            ("/issuer/cuit", "30-71234567-1"),
            ("/receiver/cuit", "30-70987654-2"),
            ("/issue_date", "2025-04-07"),
            ("/items/0/unit_price", "45000.00"),
            ("/items/0/total", "270000.00"),
            ("/items/1/unit_price", "18500.00"),
            ("/items/1/total", "74000.00"),
        ],
        codes: &[],
    },
    Case {
        name: "descriptions over several lines between bars",
        text: "FACTURA A Nro 00005-00033012 Fecha 19/06/2025
Proveedor: TECNO RED S.A.S. CUIT 30-71234567-1
Cliente: COOPERATIVA AGRICOLA LTDA CUIT 30-70987654-2
Cantidad | Descripción | Precio | Importe
2 | Router inalámbrico AC1200 | 64.990,00 | 129.980,00
  | Serie: 0A12345B / 0A12346B
  | Garantía 12 meses
1 | Cable UTP cat 6 exterior bobina 305 m | 189.000,00 | 189.000,00
  | (con portante, negro)
Neto 318.980,00
IVA 21% 66.985,80
Perc. Ing. Brutos CABA 3% 9.569,40
Total 395.535,20
CAE 75666777888999
Vencimiento CAE 29/06/2025
",
        facts: &[
            ("/items", "2"),
            ("/items/0/description", "Router inalámbrico AC1200"),
            ("/items/1/description", "Cable UTP cat 6 exterior bobina 305 m (con portante, negro)"),
            ("/totals/perceptions/0/amount", "9569.40"),
            ("/authorization/due_date", "2025-06-29"),
            ("/totals/total", "395535.20"),
        ],
        codes: &[],
    },
    Case {
        name: "discount on the whole, ISO date",
        text: "FACTURA A  N° 0002-00001999
Fecha de emisión: 2025-07-01
PINTURAS ANDINAS SRL  CUIT: 30-71234567-1
Señores: CONSTRUCTORA SOL SA CUIT: 30-70987654-2
Cant. Descripción P.Unit. Importe
20 Látex interior 20 l 52.000,00 1.040.000,00
15 Rodillo antigota 22cm 7.400,00 111.000,00
Subtotal: 1.151.000,00
Bonificación 8%: 92.080,00
Neto gravado: 1.058.920,00
IVA 21%: 222.373,20
Total: 1.281.293,20
CAE: 75777888999000  Vto CAE: 11/07/2025
",
        facts: &[
            ("/issuer/name", "PINTURAS ANDINAS SRL"),
            ("/issue_date", "2025-07-01"),
            ("/totals/subtotal", "1151000.00"),
            ("/totals/discount", "92080.00"),
            ("/totals/net", "1058920.00"),
            ("/totals/total", "1281293.20"),
        ],
        codes: &[],
    },
    Case {
        name: "exempt, untaxed and taxed in one",
        text: r#"FACTURA A COD.01 Nro: 0009-00000055
Fecha: 15/07/2025
LIBRERIA UNIVERSITARIA SA CUIT: 30-71234567-1
Cliente: FUNDACION LEER CUIT: 30-70987654-2
Cant Descripcion PU Importe
50 Libro "Cuentos de la selva" 9.800,00 490.000,00
10 Mochila escolar 32.000,00 320.000,00
1 Gastos de envío 12.500,00 12.500,00
Exento: 490.000,00
Neto Gravado: 320.000,00
No Gravado: 12.500,00
IVA 21%: 67.200,00
Total: 889.700,00
CAE: 75888999000111 Vto: 25/07/2025
"#,
        facts: &[
            ("/issuer/name", "LIBRERIA UNIVERSITARIA SA"),
            ("/receiver/name", "FUNDACION LEER"),
            ("/totals/exempt", "490000.00"),
            ("/totals/untaxed", "12500.00"),
            ("/totals/net", "320000.00"),
            ("/totals/total", "889700.00"),
        ],
        codes: &[],
    },
    Case {
        name: "dollars",
        text: "FACTURA A N° 0001-00000777
Fecha: 02/06/2025
SOFTWARE FACTORY SA   CUIT: 30-71234567-1
Cliente: BANCO RURAL SA   CUIT: 30-70987654-2
Moneda: USD   Tipo de cambio: 1.185,50
Cant. Concepto Precio Importe
120 Horas de desarrollo USD 45,00 USD 5.400,00
Neto gravado USD 5.400,00
IVA 21% USD 1.134,00
Total USD 6.534,00
CAE: 75999000111222 Vto CAE: 12/06/2025
",
        facts: &[
            ("/currency", "USD"),
            ("/items/0/description", "Horas de desarrollo"),
            ("/items/0/quantity", "120"),
            ("/items/0/unit_price", "45.00"),
            ("/totals/total", "6534.00"),
        ],
        codes: &[],
    },
    Case {
        name: "totals on one line, a delivery note and an order beside the number",
        text: "PAPELERA DEL PARANA S.A.   FACTURA A   0010-00044120
CUIT 30-71234567-1          Fecha: 22-09-25
Remito: 0010-00031188   O. Compra: 4500123456
Sr/es: IMPRENTA RIO SRL  C.U.I.T. 30-70987654-2  Cond. IVA: Resp. Inscripto
Cod.     Cant.  Detalle                         P.U.      %Bon   Importe
00871    500    Resma A4 75g                 5.120,00     12,5   2.240.000,00
01220     40    Cartulina 180g blanca x100   9.350,75      0       374.030,00
B0033      8    Cinta emb. 48x100            1.990,00              15.920,00
SUBTOTAL 2.629.950,00  IVA INSCR. 21% 552.289,50  PERC.IIBB ER 3% 78.898,50  TOTAL 3.261.138,00
CAE: 75343434343434 VTO.CAE: 02-10-25
SON PESOS TRES MILLONES DOSCIENTOS SESENTA Y UN MIL CIENTO TREINTA Y OCHO
",
        facts: &[
            ("/number", "0010-00044120"),
            ("/receiver/name", "IMPRENTA RIO SRL"),
            ("/issue_date", "2025-09-22"),
            ("/items", "3"),
            ("/items/0/discount_percent", "12.5"),
            ("/items/1/description", "Cartulina 180g blanca x100"),
            ("/totals/vat/0/amount", "552289.50"),
            ("/totals/perceptions/0/label", "perc.iibb er"),
            ("/totals/perceptions/0/amount", "78898.50"),
            ("/totals/total", "3261138.00"),
        ],
        codes: &[],
    },
];
