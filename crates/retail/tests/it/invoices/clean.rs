//! Invoices without faults.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "factura A in the tax office's own layout",
        text: "ORIGINAL
A
COD. 01
FACTURA
DISTRIBUIDORA DEL LITORAL S.A.
Razón Social: DISTRIBUIDORA DEL LITORAL S.A.      Fecha de Emisión: 05/03/2024
Domicilio Comercial: San Martín 1234 - Rosario    CUIT: 30712345671
Condición frente al IVA: IVA Responsable Inscripto  Ingresos Brutos: 901-123456-7
Punto de Venta: 00002   Comp. Nro: 00000123     Fecha de Inicio de Actividades: 01/06/2015
Período Facturado Desde: 01/03/2024 Hasta: 31/03/2024 Fecha de Vto. para el pago: 15/03/2024
CUIT: 30709876542   Apellido y Nombre / Razón Social: ALMACEN LA ESQUINA SRL
Condición frente al IVA: IVA Responsable Inscripto   Domicilio: Mitre 55
Código  Producto / Servicio     Cantidad  U. Medida  Precio Unit.  % Bonif  Subtotal  Alicuota IVA  Subtotal c/IVA
001     Yerba mate 500 g        10,00     unidades   1.500,00      0,00     15.000,00  21%          18.150,00
002     Azúcar común            20,00     unidades     800,00     10,00     14.400,00  21%          17.424,00
Importe Neto Gravado: $      29.400,00
IVA 27%: $ 0,00
IVA 21%: $ 6.174,00
IVA 10.5%: $ 0,00
Importe Otros Tributos: $ 0,00
Importe Total: $ 35.574,00
CAE N°: 74123456789012
Fecha de Vto. de CAE: 15/03/2024
",
        facts: &[
            ("/kind", "factura"),
            ("/letter", "A"),
            ("/afip_code", "1"),
            ("/number", "00002-00000123"),
            ("/issue_date", "2024-03-05"),
            ("/due_date", "2024-03-15"),
            ("/issuer/cuit", "30-71234567-1"),
            ("/issuer/name", "DISTRIBUIDORA DEL LITORAL S.A."),
            ("/receiver/cuit", "30-70987654-2"),
            ("/receiver/name", "ALMACEN LA ESQUINA SRL"),
            ("/authorization/number", "74123456789012"),
            ("/authorization/due_date", "2024-03-15"),
            ("/currency", "ARS"),
            ("/items", "2"),
            ("/items/0/code", "001"),
            ("/items/0/description", "Yerba mate 500 g"),
            ("/items/0/quantity", "10.00"),
            ("/items/0/unit", "unidades"),
            ("/items/0/unit_price", "1500.00"),
            ("/items/0/vat_rate", "21"),
            ("/items/0/total", "15000.00"),
            ("/items/1/discount_percent", "10.00"),
            ("/items/1/total", "14400.00"),
            ("/totals/net", "29400.00"),
            ("/totals/vat", "1"),
            ("/totals/vat/0/amount", "6174.00"),
            ("/totals/total", "35574.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura B with quantities before the description",
        text: "Ferretería El Tornillo
FACTURA \"B\"   N° 0003-00004567
Fecha: 12-04-24
CUIT: 20-30123456-3
Señor(es): Consumidor Final
Cant.  Descripción            P. Unit.    Importe
2      Martillo carpintero    8.500,00    17.000,00
100    Tornillo autop. 6x1      12,50      1.250,00
1,5 kg Clavo espiralado       3.200,00     4.800,00
TOTAL $ 23.050,00
CAE: 74155555555555   Vto: 22/04/2024
",
        facts: &[
            ("/letter", "B"),
            ("/number", "0003-00004567"),
            ("/issue_date", "2024-04-12"),
            ("/issuer/cuit", "20-30123456-3"),
            ("/receiver/cuit", "-"),
            ("/receiver/name", "Consumidor Final"),
            ("/authorization/due_date", "2024-04-22"),
            ("/items", "3"),
            ("/items/0/description", "Martillo carpintero"),
            ("/items/1/quantity", "100"),
            ("/items/1/description", "Tornillo autop. 6x1"),
            ("/items/2/quantity", "1.5"),
            ("/items/2/unit", "kg"),
            ("/totals/total", "23050.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura C of a monotributista with the date in words",
        text: "Factura C
Punto de Venta: 0001 Comp. Nro.: 00000042
Córdoba, 3 de mayo de 2024
Emisor: MARTA GOMEZ   CUIT 27-28765432-9
Cliente: KIOSCO CENTRAL   CUIT 20-40111222-8
Detalle                      Cantidad   Precio unitario   Importe
Diseño de logo               1          45.000,00         45.000,00
Hora de asesoramiento        3,5 hs     6.000,00          21.000,00
Subtotal: 66.000,00
Total: 66.000,00
C.A.E. N° 74111111111111
Vto. C.A.E.: 13/05/2024
",
        facts: &[
            ("/letter", "C"),
            ("/number", "0001-00000042"),
            ("/issue_date", "2024-05-03"),
            ("/issuer/cuit", "27-28765432-9"),
            ("/issuer/name", "MARTA GOMEZ"),
            ("/receiver/cuit", "20-40111222-8"),
            ("/receiver/name", "KIOSCO CENTRAL"),
            ("/items", "2"),
            ("/items/1/quantity", "3.5"),
            ("/totals/subtotal", "66000.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura A with two rates, perceptions and points for decimals",
        text: "FACTURA A 0005-00000777
Fecha de emision 20/06/2024
Emisor: LACTEOS PAMPA SRL CUIT: 33-71000999-1
Receptor: MERCADO SUR SA CUIT: 30-69555111-4
Codigo | Descripcion | Cantidad | Precio | IVA | Importe
LE-10 | Leche entera 1 lt | 100 | 900.00 | 21% | 90,000.00
PA-20 | Pan lactal | 50 | 1,000.00 | 10.5% | 50,000.00
Neto gravado 140,000.00
IVA 21% 18,900.00
IVA 10.5% 5,250.00
Percepcion IIBB 3% 4,200.00
Perc. IVA 1,400.00
TOTAL 169,750.00
CAE 74222222222222 Vto CAE 30/06/2024
",
        facts: &[
            ("/issuer/cuit", "33-71000999-1"),
            ("/receiver/cuit", "30-69555111-4"),
            ("/items/0/code", "LE-10"),
            ("/items/0/description", "Leche entera 1 lt"),
            ("/items/0/total", "90000.00"),
            ("/items/1/vat_rate", "10.5"),
            ("/totals/vat", "2"),
            ("/totals/vat/1/rate", "10.5"),
            ("/totals/vat/1/amount", "5250.00"),
            ("/totals/perceptions", "2"),
            ("/totals/perceptions/0/amount", "4200.00"),
            ("/totals/perceptions/1/label", "perc. iva"),
            ("/totals/total", "169750.00"),
        ],
        codes: &[],
    },
    Case {
        name: "nota de crédito that refers to an invoice",
        text: "NOTA DE CRÉDITO A    COD. 03
N° 0002-00000015
Fecha: 10/07/2024
Proveedor: TEXTIL NORTE S.R.L.  CUIT: 30-71234567-1
Señores: MODAS DEL CENTRO S.A.  CUIT: 30-70987654-2
Comprobante asociado: Factura A 0002-00000123
Descripción            Cantidad    Precio      Total
Devolución remeras     4 u.        5.000,00    20.000,00
Neto Gravado                                   20.000,00
IVA 21,00 %                                     4.200,00
Total                                          24.200,00
CAE: 74333333333333 - Fecha Vto. CAE: 20/07/2024
",
        facts: &[
            ("/kind", "nota-de-credito"),
            ("/letter", "A"),
            ("/afip_code", "3"),
            ("/number", "0002-00000015"),
            ("/issuer/name", "TEXTIL NORTE S.R.L."),
            ("/items/0/unit", "u"),
            ("/totals/vat/0/rate", "21"),
            ("/totals/total", "24200.00"),
        ],
        codes: &[],
    },
    Case {
        name: "fiscal ticket with the quantity above the description",
        text: "SUPERMERCADO LA COLINA
C.U.I.T. Nro.: 30-12345678-1
TIQUE FACTURA B   COD. 082
Nro. 0012-00099887
Fecha 01/08/2024
2 x 450,00
YERBA TARAGUAY (21,00)          900,00
3 x 210,50
LECHE DESCREMADA (21,00)        631,50
1,250 x 3.200,00
QUESO CREMOSO (21,00)         4.000,00
SUBTOTAL                      5.531,50
TOTAL                         5.531,50
CAI 42000000000001 Vto. 31/12/2024
",
        facts: &[
            ("/letter", "B"),
            ("/afip_code", "82"),
            ("/issuer/cuit", "30-12345678-1"),
            ("/authorization/kind", "cai"),
            ("/items", "3"),
            ("/items/0/quantity", "2"),
            ("/items/0/description", "YERBA TARAGUAY"),
            ("/items/2/quantity", "1.250"),
            ("/items/2/total", "4000.00"),
        ],
        codes: &[],
    },
    Case {
        name: "description broken over two lines",
        text: "FACTURA B Nro 0001-00000099
Fecha: 15/08/2024
CUIT: 23-25111222-3
Código Descripción Cantidad Precio Importe
A100 Cable unipolar 2,5 mm
  normalizado celeste 100 m 250,00 25.000,00
A200 Llave térmica bipolar 2 9.800,00 19.600,00
     con certificado de seguridad
A300 Caja de luz embutida
10 600,00 6.000,00
Total: $ 50.600,00
CAE: 74444444444444
Fecha de vencimiento: 25/08/2024
",
        facts: &[
            ("/items", "3"),
            ("/items/1/code", "A200"),
            ("/items/1/description", "Llave térmica bipolar con certificado de seguridad"),
            ("/items/2/code", "A300"),
            ("/items/2/quantity", "10"),
            ("/items/2/description", "Caja de luz embutida"),
            ("/authorization/due_date", "2024-08-25"),
            ("/totals/total", "50600.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura M with exempt and untaxed amounts",
        text: "FACTURA M    COD. 51     N° 0001-00000003
Fecha: 01/09/2024    Vencimiento: 30/09/2024
Emisor: SERVICIOS AUSTRALES SAS - CUIT 34-99887766-2
Cliente: COOPERATIVA DEL VALLE - CUIT 33-50123456-2
Descripcion              Cant   Precio      Importe
Flete                    1      10.000,00   10.000,00
Libro técnico            2       4.000,00    8.000,00
Seguro                   1       1.500,00    1.500,00
Neto gravado:      10.000,00
No gravado:         1.500,00
Exento:             8.000,00
IVA 21%:            2.100,00
Impuestos internos:   400,00
Total:             22.000,00
CAE: 74555555555555 Vto CAE: 11/09/2024
",
        facts: &[
            ("/letter", "M"),
            ("/due_date", "2024-09-30"),
            ("/issuer/cuit", "34-99887766-2"),
            ("/totals/untaxed", "1500.00"),
            ("/totals/exempt", "8000.00"),
            ("/totals/other_taxes", "400.00"),
            ("/totals/total", "22000.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura B that tells the VAT it contains",
        text: "FACTURA B COD. 06
Punto de Venta: 00007 Comp. Nro: 00012345
Fecha de Emisión: 02/01/2025
CUIT: 30-71234567-1
Descripción      Cantidad  Precio Unit.  Subtotal
Auriculares      1,00      60.500,00     60.500,00
Subtotal: $ 60.500,00
Importe Total: $ 60.500,00
Régimen de Transparencia Fiscal al Consumidor (Ley 27.743)
IVA Contenido: $ 10.500,00
CAE N°: 75011111111111 Fecha de Vto. de CAE: 12/01/2025
",
        facts: &[
            ("/totals/vat_contained", "10500.00"),
            ("/totals/vat", "0"),
            ("/totals/total", "60500.00"),
        ],
        codes: &[],
    },
    Case {
        name: "totals with labels above their amounts",
        text: "FACTURA A N° 0004-00000321
Fecha         Vencimiento
03/10/2024    18/10/2024
Emisor: QUIMICA OESTE SA CUIT: 30-71234567-1
Señor: PINTURERIA ARCO IRIS CUIT: 20-30123456-3
Cantidad  Descripción           Unitario   Importe
5         Diluyente 1 lt        2.000,00   10.000,00
Subtotal     IVA 21%     Total
10.000,00    2.100,00    12.100,00
CAE: 74666666666666 Vto.: 13/10/2024
",
        facts: &[
            ("/issue_date", "2024-10-03"),
            ("/due_date", "2024-10-18"),
            ("/totals/subtotal", "10000.00"),
            ("/totals/vat/0/amount", "2100.00"),
            ("/totals/total", "12100.00"),
        ],
        codes: &[],
    },
    Case {
        name: "factura E in dollars",
        text: "FACTURA E   COD. 19
N° 0010-00000008
Fecha: 11/11/2024
Emisor: VIÑEDOS ALTOS SA   CUIT: 30-69555111-4
Cliente: WINE IMPORTS LLC   CUIT: 55-00000018-2
Cantidad   Descripción            Precio        Total
600        Malbec reserva 750 ml  U$S 4,50      U$S 2.700,00
Total: U$S 2.700,00
CAE: 74777777777777 Vto CAE: 21/11/2024
",
        facts: &[
            ("/letter", "E"),
            ("/currency", "USD"),
            ("/items/0/quantity", "600"),
            ("/items/0/unit_price", "4.50"),
            ("/totals/total", "2700.00"),
        ],
        codes: &[],
    },
    Case {
        name: "discount on the whole and CAEA",
        text: "Factura A N° 00011-00002222
Fecha de emisión: 30/11/2024
Proveedor: PAPELERA ANDINA SA - CUIT 30-71234567-1
Cliente: LIBRERIA ESCOLAR - CUIT 27-11222333-4
Cód.   Artículo              Cant.  P.Unit.   Importe
0101   Resma A4              20     5.000,00  100.000,00
Subtotal                                      100.000,00
Descuento 5%                                   -5.000,00
Neto                                           95.000,00
I.V.A. 21%                                     19.950,00
TOTAL                                         114.950,00
C.A.E.A. N°: 34123456789012   Vto.: 15/12/2024
",
        facts: &[
            ("/number", "00011-00002222"),
            ("/authorization/kind", "caea"),
            ("/items/0/code", "0101"),
            ("/totals/discount", "5000.00"),
            ("/totals/net", "95000.00"),
            ("/totals/total", "114950.00"),
        ],
        codes: &[],
    },
];
